"""What a command costs: bytes read and written by it and all its processes, and the memory of each of them. Linux."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL_SECONDS = 0.05
# a server may outlive its build by a moment: the reaper waits for it, so that its bytes count
REAPER = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
code = subprocess.call(sys.argv[1:])
try:
    while True:
        os.wait()
except ChildProcessError:
    sys.exit(code)
"""


@dataclass
class Costs:
    """Bytes that a command `read` and `wrote`, and the peak resident bytes of its processes by their module.

    `holders` are the processes that were larger than a limit, `at_once` how many of them were so at the same time.
    """

    read: int = 0
    wrote: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    holders: set[int] = field(default_factory=set)
    at_once: int = 0
    output: str = ""


def run(command: Sequence[str], cwd: Path, limit: int) -> Costs:
    """Run a command to its end, which must be a success. A process counts as a holder above `limit` resident bytes."""
    costs, before = Costs(), _own_io()
    command = [sys.executable, "-c", REAPER, *command]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        done = threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, limit, costs, done))
        watch.start()
        costs.output = process.communicate()[0]
        done.set()
        watch.join()
    assert process.returncode == 0, costs.output
    after = _own_io()  # that of children that have ended counts too
    costs.read, costs.wrote = after[0] - before[0], after[1] - before[1]
    return costs


def _watch(root: int, limit: int, costs: Costs, done: threading.Event) -> None:
    while not done.wait(INTERVAL_SECONDS):
        sizes = {pid: size for pid in _family(root) if (size := _resident(pid))}
        for pid, size in sizes.items():
            name = _module(pid)
            costs.peaks[name] = max(costs.peaks.get(name, 0), size)
        holders = {pid for pid, size in sizes.items() if size > limit}
        costs.holders |= holders
        costs.at_once = max(costs.at_once, len(holders))


def _family(root: int) -> list[int]:
    """Return a process and all processes below it."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry))
    members = [root]
    for pid in members:
        members += parents.get(pid, [])
    return members


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _module(pid: int) -> str:
    """Return the module that a process runs, for one of punie-build behind its watch of the parent."""
    with suppress(OSError):
        words = Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").split("\0")
        named = [word for word in words if word.startswith("punie_build.") and not word.endswith("parent_watch")]
        return named[0] if named else "doit" if "doit" in words else "punie-build"
    return "ended"


def _own_io() -> tuple[int, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    values = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return values["rchar"], values["wchar"]
