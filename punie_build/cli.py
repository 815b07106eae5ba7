"""punie-build: what is not a task of doit.

    punie-build check        are the recipes right, and what is made of them current?
    punie-build why TARGET   what would be built for a target, and what changed, value by value

Exit codes: 0 fine, 1 something is stale, 2 wrong use or a broken artifact, 3 mistakes in the recipes.
To add a command: a function `(root, ...) -> exit code` and its row in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from punie_build import build, layout, locks, store
from punie_build.errors import PunieError, RecipeError, did_you_mean
from punie_build.explaining import differences
from punie_build.graph import Task, tasks
from punie_build.loading import load

MEANING = {
    "current": "current",
    "absent": "not built",
    "stale": "made from something else since changed: build it again",
    "edited": "not the files that were built: build it again",
}


def check(root: Path) -> int:
    """Read every recipe, and say of each artifact whether it is current. Builds nothing, needs neither data nor mlx."""
    found = [(task, build.state(root, task)) for task in tasks(load(root))]
    for task, state in found:
        print(f"{task.label:<36} {MEANING[state]}")
    states = [state for _, state in found]
    counts = ", ".join(f"{states.count(state)} {state}" for state in MEANING if state in states)
    print(f"{len(found)} artifacts in the recipes, no mistakes: {counts}")
    return 2 if "edited" in states else 1 if "stale" in states else 0


def why(root: Path, target: str) -> int:
    """Say of an artifact and all it needs what would be built, and why. Builds nothing."""
    found = {task.label: task for task in tasks(load(root))}
    if target not in found:
        raise RecipeError([f"{target}: no such artifact{did_you_mean(target, found)}"])
    wanted = _with_needs(found, target)
    lines = [line for task in found.values() if task.label in wanted for line in _reasons(root, task)]
    print("\n".join(lines) or f"{target} and all it needs are current")
    return 1 if lines else 0


def _with_needs(found: dict[str, Task], target: str) -> set[str]:
    wanted: set[str] = set()
    waiting = [target]
    while waiting:
        label = waiting.pop()
        if label not in wanted:
            wanted.add(label)
            waiting += found[label].needs
    return wanted


def _reasons(root: Path, task: Task) -> Iterator[str]:
    state = build.state(root, task)
    lock = locks.read(root / layout.lock(task.target))
    if state == "current":
        return
    now = build.facts(root, task)
    forecast = "RESTORE" if store.has(root, now.key) else f"RUN, {lock.seconds:.0f} s last time" if lock else "RUN"
    yield f"{task.label}: {MEANING[state].partition(':')[0]} - {forecast}"
    if lock:
        yield from (f"    {line}" for line in differences(lock.facts, now))


COMMANDS: dict[str, Callable[..., int]] = {"check": check, "why": why}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="punie-build", description="Commands beside doit. `doit` builds, `doit list` shows what there is."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        if name == "why":
            command.add_argument("target", help="a name as `doit list` shows it, such as adapter:quickstart")
    options = parser.parse_args(arguments)
    try:
        named = vars(options)
        code = COMMANDS[named.pop("command")](Path.cwd(), **named)
    except RecipeError as error:
        print(error, file=sys.stderr)
        code = 3
    except PunieError as error:
        print(error, file=sys.stderr)
        code = 2
    sys.exit(code)
