"""A machine with other memory: files of cgroups, programs of a Mac, and a killer of processes that use too much."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_SECONDS = 0.002


def write_cgroup(root: Path, limit: str, *, version: int = 2, kills: int = 0) -> None:
    """Write the files of a memory cgroup "/box" below a root, with a limit in bytes or "max"."""
    mounted = root / "sys/fs/cgroup" / ("memory" if version == 1 else "") / "box"
    mounted.mkdir(parents=True, exist_ok=True)
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("4:memory:/box\n" if version == 1 else "0::/box\n")
    (mounted / ("memory.limit_in_bytes" if version == 1 else "memory.max")).write_text(f"{limit}\n")
    counts = mounted / ("memory.oom_control" if version == 1 else "memory.events")
    counts.write_text(f"oom 0\noom_kill {kills}\n")


def write_mac(folder: Path, *, memory: int, wired_mb: int = 0, pressure: int = 1, battery: str = "AC Power") -> None:
    """Write the programs `sysctl` and `pmset` of a Mac to a folder for PATH. `memory` is in bytes; `battery` is part
    of the output of pmset, such as "17%; discharging"."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"hw.memsize": memory, "iogpu.wired_limit_mb": wired_mb, "kern.memorystatus_vm_pressure_level": pressure}
    cases = "".join(f"{name}) echo {value};;\n" for name, value in values.items())
    for name, text in (("sysctl", f'case "$2" in\n{cases}esac\n'), ("pmset", f"echo '{battery}'\n")):
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)


@contextmanager
def killer(module: str, limit: int, after: Path | None = None) -> Iterator[list[int]]:
    """Kill each process below this one that runs a Python module and has more than `limit` bytes resident, as the
    kernel does in a cgroup; with `after` one process, when that file exists. Yields the sizes of killed processes."""
    sizes: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            for process in _below(os.getpid()) if after is None or after.exists() else ():
                with suppress(OSError, ValueError, IndexError):
                    folder = Path(f"/proc/{process}")
                    if module.encode() not in (folder / "cmdline").read_bytes().split(b"\0"):
                        continue
                    size = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                    if size > limit:
                        os.kill(process, signal.SIGKILL)
                        sizes.append(size)
                        if after:
                            return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def _below(process: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have."""
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield int(child)
                yield from _below(int(child))
