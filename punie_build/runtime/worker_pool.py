"""Worker processes for steps that compute in Python while several tasks run.

`doit -n 4` runs tasks in threads, and only one thread at a time computes in Python: so a step is sent to a process. A
worker ends with the build, even if the build is killed. Training and serving use processes of their own (`child`).
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
from punie_build.runtime.console import console

A = TypeVar("A")
T = TypeVar("T")


class WorkerError(PunieError):
    """A worker ended during its step, or its error could only be sent as text."""


POLL_S = 0.25
Monitor = Callable[[], bool]


def run(step: Callable[[A], T], work: A) -> T:
    """Return the step's result: computed in this process by the main thread, in a worker by any other thread."""
    if threading.current_thread() is threading.main_thread():
        return step(work)
    return run_in_worker(step, work)


def run_in_worker(step: Callable[[A], T], work: A, monitor: Monitor | None = None) -> T:
    """Return the step's result, computed in a worker. `monitor` is called every `POLL_S` seconds meanwhile; when it
    returns False the worker is killed, with the processes that it started, and WorkerError is raised."""
    worker = _idle_worker()
    try:
        return worker.compute(step, work, monitor)
    finally:
        if worker.process.is_alive():
            _idle.append(worker)


def in_worker() -> bool:
    """Return whether this process is a worker. A worker starts none, for the other cores are busy."""
    from multiprocessing import current_process

    return bool(current_process().daemon)


class Worker:
    """A process that computes one step after another. It is a daemon: an interrupted build does not wait for it."""

    def __init__(self) -> None:
        from multiprocessing import get_context

        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _start_lock:
            safe = os.environ.get("PYTHONSAFEPATH")
            os.environ["PYTHONSAFEPATH"] = "1"  # multiprocessing gives a process the variables of this one
            try:
                self.process.start()
            finally:
                os.environ.pop("PYTHONSAFEPATH")
                if safe is not None:
                    os.environ["PYTHONSAFEPATH"] = safe
        theirs.close()

    def compute(self, step: Callable[[A], T], work: A, monitor: Monitor | None = None) -> T:
        """Return `step(work)`, or raise its error. Raise WorkerError if the process ends before."""
        try:
            self.connection.send((step, work))
            while monitor and not self.connection.poll(POLL_S):
                if not monitor():
                    self.process.kill()
                    monitor = None
            done, answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise WorkerError(self._exit_message()) from None
        if not done:
            raise answer
        result: T = answer
        return result

    def _exit_message(self) -> str:
        if self.process.exitcode == -signal.SIGKILL:
            return "a worker process was killed, most likely for lack of memory - build again with a smaller -n"
        return f"a worker process ended with exit code {self.process.exitcode} - build without -n to see its output"


_start_lock = threading.Lock()
_idle: list[Worker] = []  # append and pop are atomic, for threads too
os.register_at_fork(after_in_child=_idle.clear)  # the workers of a parent process are none of its child


def _idle_worker() -> Worker:
    """Return an idle worker, or a new one: there are as many as ever computed at the same time."""
    with suppress(IndexError):
        while True:
            if (worker := _idle.pop()).process.is_alive():
                return worker
    return Worker()


def search_project_last() -> None:
    """Move the project's folder to the end of the module search path: its `queue.py` is no module of the library."""
    sys.path.sort(key=lambda entry: entry in ("", os.getcwd()))


def _serve(connection: Any) -> None:
    """Answer each step with `(True, result)` or `(False, error)` until the build closes the connection. Runs in a
    worker."""
    search_project_last()
    _end_with_parent()
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_answer(connection.recv_bytes()))


def _answer(request: bytes) -> bytes:
    try:
        step, work = pickle.loads(request)  # noqa: S301 - written by the build
        return pickle.dumps((True, step(work)))
    except Exception as error:
        return pickle.dumps((False, _picklable(error)))


def _picklable(error: Exception) -> Exception:
    """Return the error if pickle keeps its text, else an error of the same text. Errors that are bugs get their
    traceback."""
    trace = "".join(traceback.format_exception(error))
    if not isinstance(error, PunieError):
        error.add_note(trace)
    with suppress(Exception):
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - written in this expression
            return error
    return WorkerError(str(error)) if isinstance(error, PunieError) else RuntimeError(trace)


def _end_with_parent() -> None:
    """End this process when the build ends, even during a computation. The build handles Ctrl-C. Runs in a worker."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    console.muted = True  # the lines of a worker go to its task's log: several would overwrite each other
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if sys.platform == "linux":  # the kernel ends it even where no thread can run, as during a regular expression
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=watch, daemon=True).start()
