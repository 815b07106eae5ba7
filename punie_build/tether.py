"""Tether: run a module in a process that does not outlive its parent, however the parent ends.

    python -m punie_build.tether FD MODULE ARGUMENT ...

FD is the read end of a pipe whose other end only the parent holds: when the parent is gone, kill -9 included, reading
ends, and so does this process with all it started. On Linux the kernel is asked for the same, as a second rope.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def hold(fd: int) -> None:
    """Tie this process group to whoever holds the other end of `fd`."""

    def watch() -> None:
        while os.read(fd, 1):
            pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    hold(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
