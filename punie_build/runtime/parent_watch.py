"""Tether: run a module in a process group that does not outlive its parent, however the parent ends.

    python -m punie_build.runtime.parent_watch FD MODULE ARGUMENT ...

FD is the read end of a pipe whose other end only the parent holds. A small watcher process reads it: when the parent is
gone, kill -9 included, reading ends, and the watcher kills the whole group. A thread could not: it would wait its turn
behind whatever the module computes. (Linux's PDEATHSIG would kill the module alone and orphan what it started.)
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from contextlib import suppress


def hold(fd: int) -> None:
    """Tie this process group to whoever holds the other end of `fd`. Called before anything else is imported."""
    group = os.getpgid(0)
    if os.fork():
        os.close(fd)
        return
    os.setsid()
    while os.read(fd, 1):
        pass
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    hold(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
