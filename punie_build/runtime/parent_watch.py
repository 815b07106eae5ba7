"""Run a module in a process group that ends with its parent, however the parent ends.

    python -m punie_build.runtime.parent_watch FD MODULE ARGUMENT ...

FD is the read end of a pipe whose write end only the parent has. A small watcher process reads it: when the parent
ends, even by kill -9, the read returns, and the watcher kills the group. A thread would have to wait until the module's
computation releases the GIL. (Linux's PDEATHSIG would kill the module only and orphan the processes that it started.)
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from contextlib import suppress


def watch_parent(fd: int) -> None:
    """Fork a watcher that kills this process group when the write end of the pipe `fd` closes. Call it before other
    imports."""
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
    watch_parent(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    from punie_build.runtime import import_index  # after the fork, as every import

    import_index.install()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
