"""Workers: processes for steps that compute in Python, when several tasks run at a time.

`doit -n 4` runs tasks in threads, and Python computes in one thread at a time: so a step is sent to a process. A worker ends
with the build, also when the build is killed. Training and serving have processes of their own (`children`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import TypeVar

from punie_build.errors import PunieError
from punie_build.screen import screen

A = TypeVar("A")
T = TypeVar("T")


class WorkerError(PunieError):
    """A worker died under its step."""


def run(step: Callable[[A], T], work: A) -> T:
    """The step's result: computed here if this is the only thread of the build, else by a worker."""
    if threading.current_thread() is threading.main_thread():
        return step(work)
    try:
        return _pool().submit(step, work).result()
    except BrokenProcessPool:
        _pool.cache_clear()
        raise WorkerError(
            "a worker process was killed, most likely for want of memory - build again with a smaller -n"
        ) from None


@cache
def _pool() -> ProcessPoolExecutor:
    from multiprocessing import get_context

    # a killed build leaves semaphores, which Python's tracker process removes: nobody needs to read that it did
    sys.warnoptions.append("ignore:resource_tracker")
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _follow_parent)


def _follow_parent() -> None:
    """In a worker: end when the build ends, whatever this process is doing. Ctrl-C is the build's to answer."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    screen.muted = True  # a worker's lines go to its task's log: several would write over one another
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
