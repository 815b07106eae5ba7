"""A Python function of the user, called in a process with limits.

The process has 2 GB of memory, a time limit for each call, an empty folder to work in, and none of the environment's
variables. It may read files of the system and of installed packages and no others, because no digest covers those; it
starts no process, opens no connection and writes no file: Python's audit hooks refuse that, on every system. That keeps
mistakes from having effects; it is no protection against a file that means harm.

Linux limits the memory itself. On macOS, which has no such limit, the process measures its memory ten times a second
and ends itself. Windows has neither: `missing_limits` says so before anything runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import subprocess
    import tempfile

RUNNER = r"""
import contextlib, json, os, resource, signal, sys, threading, time
memory, seconds, path, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
isolated, watched = sys.argv[5] == "1", sys.argv[6] == "1"
ANSWERED, TOO_LARGE = 113, 114  # exit codes of a process that has sent its answer, or has used too much memory
with contextlib.suppress(Exception):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not watched:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what the function reads is no request
os.dup2(2, 1)  # what the function prints is no answer
REFUSED = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.", "socket.connect",
           "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.getnameinfo",
           "socket.gethostby", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink",
           "os.chmod", "os.chown", "os.kill", "signal.pthread_kill", "shutil.")
INSTALLED = {os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, os.getcwd(), "/usr",
    "/etc", "/lib", "/lib64", "/bin", "/proc", "/sys", "/dev", "/nix", "/opt/homebrew", "/opt/local", "/System",
    "/Library", "/var/db")}
def guard(event, arguments):
    if event == "open":
        file, mode, flags = arguments[0], arguments[1], arguments[2] or 0
        if isinstance(file, int) or file == os.devnull:
            return
        write = any(letter in mode for letter in "wax+") if isinstance(mode, str) else flags & 3
        if write:
            raise PermissionError(f"may not write {file}")
        place = os.path.realpath(os.fsdecode(file))
        if not any(place.startswith(folder.rstrip("/") + "/") for folder in INSTALLED):
            raise PermissionError(f"may not read {place}, which is no installed package")
    elif event == "sqlite3.connect" and arguments[0] not in ("", ":memory:"):
        raise PermissionError(f"may not open the database {arguments[0]}")
    elif event.startswith(REFUSED) and not forks:
        raise PermissionError(f"may not do {event}")
def scalar(value):  # such as a bool of numpy
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError(f"a value of the type {type(value).__name__} is no JSON")
def described(error):
    try:
        return str(error)[:1000].encode("utf-8", "replace").decode()
    except BaseException:
        return "without a text"
def watch():
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < memory:
        time.sleep(0.1)
    os._exit(TOO_LARGE)
def start_watch():
    if watched:
        threading.Thread(target=watch, daemon=True).start()
def answer(compute):
    try:
        text = json.dumps({"value": compute()}, default=scalar)
    except BaseException as error:
        text = json.dumps({"error": f"{type(error).__name__}: {described(error)}"})
    answers.write(text.encode() + b"\n")
    answers.flush()
def load():
    namespace.update({"__name__": "user_function", "__file__": path})
    exec(compile(json.loads(requests.readline()), path, "exec"), namespace)
    function.append(namespace[name])
    return True
def ended(code):
    if code == TOO_LARGE:
        return f"more than {memory >> 20} MB of memory"
    return f"no result after {seconds} seconds" if late else f"its process ended ({code})"
def stop(*_):
    late.append(1)
    forks.append(1)  # the runner's own call is allowed
    os.kill(child, signal.SIGKILL)
    forks.clear()
sys.dont_write_bytecode = True
namespace, function, forks, late = {}, [], [], []
if isolated:
    signal.signal(signal.SIGALRM, stop)
else:
    start_watch()
sys.addaudithook(guard)
answer(load)
for line in requests:
    if isolated:
        forks.append(1)
        child = os.fork()
        forks.clear()
        if child:
            late.clear()
            signal.alarm(seconds)  # not of the child, which could turn it off
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            signal.alarm(0)
            if code != ANSWERED:
                answer(lambda: ended(code))
            continue
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        start_watch()
        answer(lambda: function[0](json.loads(line)))
        os._exit(ANSWERED)
    signal.alarm(seconds)  # ends the process if the build does not
    answer(lambda: function[0](json.loads(line)))
    signal.alarm(0)
"""
MEMORY_BYTES = 2 * 2**30
START_SECONDS = 60.0
MAX_ANSWER_BYTES = 16 * 2**20
WATCHED = sys.platform == "darwin"  # the system limits no memory, so the process measures its own
MAX_DEATHS = 3  # of the process, after which the function is not called again


def missing_limits(platform: str = sys.platform) -> str:
    """Return the limits that a system does not have, so that no code of others may run there; empty if it has all."""
    return "limits of time and memory of a process" if platform in ("win32", "cygwin", "emscripten", "wasi") else ""


class FunctionAnswer(msgspec.Struct, frozen=True):
    """The answer of the process to one call: the value that the function returned, or the text of its error."""

    value: Any = None
    error: str | None = None


class FunctionError(Exception):
    """A function returned no value: the reason, and the advice."""


class LimitedFunction:
    """A function in its own process, which starts with the first call and ends with this object.

    An `isolated` function has a process of its own for each call, so that no call sees the effects of another; how such
    a process ended is the result of the call.

    `path` is the name of the file with this source, for tracebacks. After the end of the process the next call starts
    another, `MAX_DEATHS` times in all.
    """

    def __init__(
        self,
        source: str,
        path: str,
        name: str,
        seconds: float,
        isolated: bool = False,
        memory: int = MEMORY_BYTES,
        watched: bool = WATCHED,
    ) -> None:
        self.source, self.path, self.name, self.seconds = source, path, name, seconds
        self.isolated, self.memory, self.watched = isolated, memory, watched
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer, self._deaths, self._reason, self._lock = b"", 0, "", threading.Lock()

    def __call__(self, argument: bytes) -> Any:
        """Return the result of the function for an argument in JSON. Raises FunctionError if the function does not
        return."""
        with self._lock:
            if self._deaths >= MAX_DEATHS:
                raise FunctionError(f"{self._reason} (it is not called again)")
            if self._process is None:
                self._start()
            return self._call(argument, self.seconds + 2 * self.isolated)

    def _start(self) -> None:
        import subprocess
        import tempfile

        folder = tempfile.TemporaryDirectory()
        seconds = int(self.seconds) + (0 if self.isolated else 2)
        limits, watched = [str(self.memory), str(seconds)], str(int(self.watched))
        self._process = process = subprocess.Popen(
            [sys.executable, "-I", "-c", RUNNER, *limits, self.path, self.name, str(int(self.isolated)), watched],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder.name,
            start_new_session=True,
            env={key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT") if key in os.environ},
        )
        self._buffer, self._kill = b"", weakref.finalize(self, _end, process, folder)
        try:
            self._call(json.dumps(self.source).encode(), START_SECONDS)
        except FunctionError:  # the file itself fails, and so it would the next time
            self._deaths = MAX_DEATHS
            raise

    def _call(self, argument: bytes, seconds: float) -> Any:
        try:
            line = self._exchange(argument, seconds)
        except FunctionError as error:
            self._deaths, self._reason, self._process = self._deaths + 1, str(error), None
            self._kill()
            raise
        try:
            answer = msgspec.json.decode(line, type=FunctionAnswer)
        except (msgspec.MsgspecError, RecursionError) as error:  # not a number, or nested too deeply
            raise FunctionError(f"returned a value that JSON cannot hold: {error} - correct the function") from None
        if answer.error is not None:
            self._reason = f"raised {answer.error} - correct the function"
            raise FunctionError(self._reason)
        return answer.value

    def _exchange(self, argument: bytes, seconds: float) -> bytes:
        """Send a line and return the line that answers it. Raises FunctionError if the process is of no more use."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        try:
            self._process.stdin.write(argument + b"\n")
            self._process.stdin.flush()
            parts = [self._buffer]
            while b"\n" not in parts[-1]:
                if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    raise FunctionError(f"no result after {seconds:g} seconds - make it faster, or raise `seconds`")
                parts.append(os.read(descriptor, 1 << 20))
                if not parts[-1]:
                    raise OSError("closed")
                if sum(map(len, parts)) > MAX_ANSWER_BYTES:
                    raise FunctionError(f"returned more than {MAX_ANSWER_BYTES >> 20} MB - return less")
        except OSError:
            problem = "its process ended - does it exit, or need more than 2 GB of memory?"
            raise FunctionError(problem) from None
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        return line


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    """End the process and remove its folder."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):  # bytes that it did not read
                pipe.close()
    process.wait()
    folder.cleanup()
