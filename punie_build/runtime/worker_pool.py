"""Workers: processes for steps that compute in Python, when several tasks run at a time.

`doit -n 4` runs tasks in threads, and Python computes in one thread at a time: so a step is sent to a process. A worker ends
with the build, also when the build is killed. Training and serving have processes of their own (`children`).
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from punie_build.errors import PunieError
from punie_build.runtime.console import screen

A = TypeVar("A")
T = TypeVar("T")


class WorkerError(PunieError):
    """A worker died under its step, or what went wrong there could only be told in words."""


def run(step: Callable[[A], T], work: A) -> T:
    """The step's result: computed here if this is the only thread of the build, else by a worker."""
    if threading.current_thread() is threading.main_thread():
        return step(work)
    worker = _free()
    try:
        return worker.compute(step, work)
    finally:
        if worker.process.is_alive():
            _idle.append(worker)


def within() -> bool:
    """Whether this process is a worker: then others compute beside it, and it has none of its own."""
    from multiprocessing import current_process

    return bool(current_process().daemon)


class Worker:
    """A process that takes one step after another. It is a daemon: a build that is interrupted does not wait for it."""

    def __init__(self) -> None:
        from multiprocessing import get_context

        context = get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def compute(self, step: Callable[[A], T], work: A) -> T:
        try:
            self.ours.send((step, work))
            done, answer = self.ours.recv()
        except (EOFError, OSError):
            self.process.join()
            raise WorkerError(self._ended()) from None
        if not done:
            raise answer
        result: T = answer
        return result

    def _ended(self) -> str:
        if self.process.exitcode == -signal.SIGKILL:
            return "a worker process was killed, most likely for want of memory - build again with a smaller -n"
        return f"a worker process ended with exit code {self.process.exitcode} - build without -n to see what it says"


_idle: list[Worker] = []  # appending to a list and popping from it are one step each, for threads too


def _free() -> Worker:
    """A worker that waits for a step, or a new one: there are as many as ever computed at a time."""
    with suppress(IndexError):
        while True:
            if (worker := _idle.pop()).process.is_alive():
                return worker
    return Worker()


def _serve(ours: Any) -> None:
    """In a worker: answer each step with `(True, result)` or `(False, error)` until the build closes the line."""
    _follow_parent()
    with suppress(EOFError, OSError):
        while True:
            ours.send_bytes(_answer(ours.recv_bytes()))


def _answer(question: bytes) -> bytes:
    try:
        step, work = pickle.loads(question)  # noqa: S301 - what the build has just written
        return pickle.dumps((True, step(work)))
    except Exception as error:
        return pickle.dumps((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """The error if it reads the same after being sent, else its words. What is no PunieError brings its trace along."""
    trace = "".join(traceback.format_exception(error))
    if not isinstance(error, PunieError):
        error.add_note(trace)
    with suppress(Exception):
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - what we have just written
            return error
    return WorkerError(str(error)) if isinstance(error, PunieError) else RuntimeError(trace)


def _follow_parent() -> None:
    """In a worker: end when the build ends, whatever this process is doing. Ctrl-C is the build's to answer."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    screen.muted = True  # a worker's lines go to its task's log: several would write over one another
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if sys.platform == "linux":  # the kernel ends it, also where no thread gets its turn: in a regular expression
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=watch, daemon=True).start()
