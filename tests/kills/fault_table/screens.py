"""Faults of places: paths, environments, pipes and screens."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.kills.fault_table.row import Result, Row, healed, output_problem, right
from tests.kills.fault_table.sandbox import Sandbox, command, doit, program, wait

PLACE, SCREEN = "places and environments", "pipes and screens"
FOLDERS = ("with space", "ünïcödé", "quote'd", 'double"quoted', "-dash", "percent%20", "new\nline", "a#b?c", "x" * 200,
           "emoji 🦊", "$HOME", "back\\slash", "*star*", "tab\there", "{brace}", "~tilde")  # fmt: skip
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "no HOME": {"HOME": ""},
    "HOME that is not there": {"HOME": "/nowhere"},
    "HOME that is a file": {"HOME": "/etc/passwd", "XDG_CACHE_HOME": ""},
    "no PATH": {"PATH": ""},
    "TMPDIR that is not there": {"TMPDIR": "/nowhere"},
    "TMPDIR that is a file": {"TMPDIR": "/etc/passwd"},
    "a cache that is a file": {"XDG_CACHE_HOME": "/etc/passwd"},
    "a cache that is not writable": {"XDG_CACHE_HOME": "/proc"},
    "a config that is a file": {"XDG_CONFIG_HOME": "/etc/passwd"},
    "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
    "LANG=tr_TR": {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"},
    "ASCII output": {"PYTHONIOENCODING": "ascii"},
    "TZ of the far east": {"TZ": "Pacific/Kiritimati"},
    "TZ that is none": {"TZ": "nowhere"},
    "TERM=dumb": {"TERM": "dumb"},
    "no TERM": {"TERM": ""},
    "COLUMNS=0": {"COLUMNS": "0", "LINES": "0"},
    "COLUMNS that is none": {"COLUMNS": "wide"},
    "CI": {"CI": "true", "GITHUB_ACTIONS": "true"},
    "no color": {"NO_COLOR": "1"},
    "forced color": {"FORCE_COLOR": "1"},
    "an empty store": {"PUNIE_BUILD_STORE": ""},
    "hash seed": {"PYTHONHASHSEED": "123"},
    "a proxy": {"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"},
    "tokens": {"HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "secret"},
}


def _moved(folder: str, box: Sandbox, *, built: bool) -> Result:
    root = box.root.parent / folder
    try:
        box.root.rename(root)
    except OSError as error:
        return Result("skipped", str(error))
    moved = Sandbox(root, box.expected)
    moved.log = box.log
    if not built:
        moved.unbuild()
    return healed(moved)


def _in_environment(name: str, box: Sandbox) -> Result:
    box.unbuild()
    done = box.build(**ENVIRONMENTS[name])
    return output_problem(done) or right(box, done)


def _umask(mask: int, box: Sandbox) -> Result:
    box.unbuild()

    def build() -> int:
        os.umask(mask)
        return doit()()

    done = box.run(build)
    return output_problem(done) or right(box, done)


def _from_subfolder(words: tuple[str, ...], box: Sandbox) -> Result:
    def run() -> int:
        os.chdir("raw")
        return command(*words)()

    done = box.run(run)
    return output_problem(done) or Result("right bytes" if not done.code else "wrong", done.output[-300:])


def _descriptors(change: Callable[[], object], words: tuple[str, ...], box: Sandbox) -> Result:
    """Run with other descriptors; the build ends, and the one after it is right, whatever was on the screen."""

    def build() -> int:
        change()
        return program(*words)()

    box.build("forget", "stage:s1")
    done = box.run(build)
    if done.code is None or "Traceback" in done.output:
        return Result("hangs" if done.code is None else "traceback", done.output[-400:])
    done = box.build()
    return output_problem(done) or right(box, done)


def _to_full_device() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _to_closed_pipe() -> None:
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)


def _all_closed() -> None:
    for number in (0, 1, 2):
        os.close(number)


SCREENS: dict[str, Callable[[], object]] = {
    "output closed": lambda: os.close(1),
    "errors closed": lambda: os.close(2),
    "input closed": lambda: os.close(0),
    "all closed": _all_closed,
    "a full disk": _to_full_device,
    "a pipe that is closed": _to_closed_pipe,
    "errors to a full disk": lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 2),
}
LOOKS = (("doit",), ("doit", "list"), ("list",), ("plan",), ("check",), ("show", "s1"), ("why", "s1"))


def _terminal(rows_: int, columns: int, box: Sandbox) -> Result:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows_, columns, 0, 0))
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):
            while piece := os.read(master, 65536):
                shown.append(piece)

    def build() -> int:
        os.dup2(slave, 1)
        os.dup2(slave, 2)
        return doit()()

    box.unbuild()
    reader = threading.Thread(target=read, daemon=True)
    number, log = box.start(build)
    reader.start()
    os.close(slave)
    done = wait(number, log)
    reader.join(1)
    os.close(master)
    text = b"".join(shown).decode(errors="replace")
    if done.code or "Traceback" in text:
        return Result("traceback" if "Traceback" in text else "wrong", text[-400:])
    return right(box, done)


def rows(_template: Path) -> Iterator[Row]:
    """Yield the faults of places, environments, pipes and screens."""
    for folder in FOLDERS:
        yield Row(PLACE, f"a project in {folder!r}", partial(_moved, folder, built=False))
    for folder in FOLDERS[:4]:
        yield Row(PLACE, f"a built project moved to {folder!r}", partial(_moved, folder, built=True))
    for name in ENVIRONMENTS:
        yield Row(PLACE, name, partial(_in_environment, name))
    for mask in (0o000, 0o077, 0o022):
        yield Row(PLACE, f"umask {mask:03o}", partial(_umask, mask))
    for words in LOOKS[2:]:
        yield Row(PLACE, f"{words[0]} in a subfolder", partial(_from_subfolder, words))
    for name, change in SCREENS.items():
        for words in LOOKS:
            if (name, words) == ("a full disk", ("doit", "list")):
                continue  # doit itself shows a traceback, from a stream that it has before it knows of us
            yield Row(SCREEN, f"{' '.join(words)}: {name}", partial(_descriptors, change, words))
    for size in ((1, 1), (0, 0), (1, 1000), (1000, 1)):
        yield Row(SCREEN, "a terminal of {} x {}".format(*size), partial(_terminal, *size))
