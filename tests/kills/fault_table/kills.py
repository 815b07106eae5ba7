"""Faults of processes: builds that are killed, stopped or beside others, and inputs that change during a build."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from punie_build.storage import store
from tests.kills.fault_table.row import Result, Row, output_problem, right
from tests.kills.fault_table.sandbox import Sandbox, command, doit, program, wait

KILL, SHARED, COLLECT, EDIT = "kills of builds", "kills beside a shared store", "collections beside builds", "edits"
START_SECONDS = 0.4  # of a new interpreter
LONGEST = 0.6  # seconds after which the last kill comes; a build takes a little less
WAYS = {  # how a build is killed -> how often that was tried
    "KILL": 25, "STOP, then KILL": 9, "TERM": 9, "INT": 8, "INT twice": 15, "INT to the group": 11, "HUP": 13,
    "KILL of a worker": 12, "TERM of a worker": 7, "STOP, then CONT": 17, "KILL of one of three": 15,
    "PIPE": 5, "QUIT": 4,
}  # fmt: skip
STATES = ("nothing is built", "the store is full", "one stage is edited")


def _prepare(box: Sandbox, state: str) -> None:
    if state == "the store is full":
        box.remove_targets()
    elif state == "nothing is built":
        box.unbuild()
    else:
        shutil.rmtree(box.root / ".punie/store")
        shutil.rmtree(box.root / "data/s1")


def _children(number: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == number:
                found.append(int(path.parent.name))
    return found


def _send(number: int, way: str) -> None:
    """Kill a process in a way. One that has ended already is left alone."""
    with suppress(ProcessLookupError):
        match way.split():
            case ["STOP,", "then", then]:
                os.kill(number, signal.SIGSTOP)
                time.sleep(0.05)
                os.kill(number, signal.Signals[f"SIG{then}"])
            case [name, "twice"]:
                os.kill(number, signal.Signals[f"SIG{name}"])
                time.sleep(0.01)
                os.kill(number, signal.Signals[f"SIG{name}"])
            case [name, "to", "the", "group"]:
                os.killpg(number, signal.Signals[f"SIG{name}"])
            case [name, "of", "a", "worker"]:
                os.kill(next(iter(_children(number)), number), signal.Signals[f"SIG{name}"])
            case [name, *_]:
                os.kill(number, signal.Signals[f"SIG{name}"])


def _is_before_start(output: str) -> bool:
    """Whether Ctrl-C came while doit itself was imported, before it imports a module of ours."""
    return output.rstrip().endswith("KeyboardInterrupt") and "punie_build/" not in output


def _killed(way: str, state: str, instant: float, box: Sandbox) -> Result:
    _prepare(box, state)
    builds = [
        box.start(program("doit", "-n", "2") if "worker" in way else doit()) for _ in range(3 if "three" in way else 1)
    ]
    time.sleep(instant + (START_SECONDS if "worker" in way else 0))
    _send(builds[0][0], way)
    for number, log in builds:
        done = wait(number, log)
        if done.code is None:
            return Result("hangs", done.output[-300:])
        if "Traceback" in done.output and not _is_before_start(done.output):
            return Result("traceback", done.output[-500:])
    end = time.monotonic() + 10
    while (running := box.processes()) and time.monotonic() < end:
        time.sleep(0.05)
    if running:
        return Result("wrong", f"left running: {running[0]}")
    done = box.build()
    return output_problem(done) or right(box, done)


def _killed_beside(instant: float, way: str, box: Sandbox) -> Result:
    """Kill one of two checkouts with one store; then a third restores or builds the right bytes from it."""
    folder = box.root.parent / "shared"
    folder.mkdir()
    url = folder.as_uri()
    other = Sandbox(Path(shutil.copytree(box.root, box.root.parent / "other")), box.expected)
    for each in (box, other):
        each.unbuild()
    first, second = box.start(doit(), PUNIE_BUILD_STORE=url), other.start(doit(), PUNIE_BUILD_STORE=url)
    time.sleep(instant)
    _send(first[0], way)
    for each, (number, log) in ((box, first), (other, second)):
        done = wait(number, log)
        if done.code is None or "Traceback" in done.output:
            return Result("traceback" if done.code is not None else "hangs", done.output[-400:])
        if each is other and done.code:
            return Result("wrong", done.output[-300:])
    other.unbuild()
    done = other.build(PUNIE_BUILD_STORE=url)
    if (result := output_problem(done) or right(other, done)) and not result.is_held:
        return result
    done = box.build(PUNIE_BUILD_STORE=url)
    return output_problem(done) or right(box, done)


def _collected(words: tuple[str, ...], state: str, box: Sandbox) -> Result:
    _prepare(box, state)
    number, log = box.start(doit())
    for _ in range(3):
        done = box.run(command(*words))
        if problem := output_problem(done):
            return problem
    done = wait(number, log)
    if problem := output_problem(done):
        return problem
    if [*store.verify(box.root)]:
        return Result("wrong", "the store has damaged files")
    return right(box, done)


def _edited(what: str, instant: float, box: Sandbox) -> Result:
    """Edit an input or the recipe during a build; the builds after it give what a clean build gives."""
    path = box.root / ("recipes/project.toml" if what == "recipe" else "raw/rows.jsonl")
    text = path.read_text()
    changed = text.replace("messages = 2", "messages = 1") if what == "recipe" else text.replace("It is", "It was")
    box.unbuild()
    number, log = box.start(doit())
    time.sleep(instant)
    path.write_text(changed)
    if "back" in what:
        time.sleep(0.02)
        path.write_text(text)
    done = wait(number, log)
    if problem := output_problem(done):
        return problem
    path.write_text(text)
    done = box.build()
    return output_problem(done) or right(box, done)


def rows(_template: Path) -> Iterator[Row]:
    """Yield the kills of builds, alone and beside others, and the edits during a build."""
    rng = random.Random(0)
    for way, count in WAYS.items():
        for index in range(count):
            state, instant = STATES[index % len(STATES)], rng.uniform(0, LONGEST)
            yield Row(KILL, f"{way} at {instant:.2f} s; {state}", partial(_killed, way, state, instant))
    for index in range(44):
        way, instant = ("KILL", "TERM", "STOP, then KILL", "INT")[index % 4], rng.uniform(0, LONGEST)
        yield Row(SHARED, f"{way} at {instant:.2f} s", partial(_killed_beside, instant, way))
    for state in STATES:
        for words in (("store", "gc", "--days", "0"), ("store", "verify")):
            yield Row(COLLECT, f"{' '.join(words)}; {state}", partial(_collected, words, state))
    for what in ("input", "input and back", "recipe"):
        for index in range(4):
            instant = LONGEST * (index + 0.5) / 4
            yield Row(EDIT, f"{what} at {instant:.2f} s", partial(_edited, what, instant))
