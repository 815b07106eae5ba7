"""Functions of the user's own Python files, called for each row in a limited process.

    filters = [{ type = "python", function = "filters.mine:keep" }]        filters/mine.py, inside the project

    def keep(row):                   # the row as JSON has it: {"messages": [...], ...}
        return row["score"] > 3

The process has 2 GB of memory, a time limit for each row, an empty folder to work in, and none of the environment's
variables. It may read files and import installed packages, but starts no process, opens no connection and writes no
file: Python's audit hooks refuse that, on every system. That keeps mistakes from having effects; it is no protection
against a file that means harm.
"""

from __future__ import annotations

import os
import select
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from punie_build.data.example import decode_example
from punie_build.data.filters.secret import replace_secrets
from punie_build.errors import DataError

if TYPE_CHECKING:
    import subprocess
    import tempfile

RUNNER = r"""
import contextlib, importlib, json, os, sys
memory, path, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
with contextlib.suppress(Exception):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
rows, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the function prints is no answer
REFUSED = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.", "socket.connect",
           "socket.bind", "socket.sendto", "socket.getaddrinfo", "os.remove", "os.rename", "os.rmdir", "os.mkdir",
           "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown", "os.kill", "shutil.", "ctypes.dlopen")
def guard(event, arguments):
    if event == "open":
        mode, flags = arguments[1], arguments[2] or 0
        write = any(letter in mode for letter in "wax+") if isinstance(mode, str) else flags & 3
        if write and arguments[0] != os.devnull:
            raise PermissionError(f"may not write {arguments[0]}")
    elif event.startswith(REFUSED):
        raise PermissionError(f"may not do {event}")
def answer(value):
    answers.write(value.encode() + b"\n")
    answers.flush()
sys.dont_write_bytecode = True
try:
    with open(path, encoding="utf-8") as file:
        source = file.read()
    namespace = {"__name__": "user_function", "__file__": path}
    sys.addaudithook(guard)
    exec(compile(source, path, "exec"), namespace)
    function = namespace[name]
    answer(json.dumps({"value": True}))
except BaseException as error:
    answer(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    sys.exit(1)
for line in rows:
    try:
        answer(json.dumps({"value": function(json.loads(line))}))
    except BaseException as error:
        answer(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""
MEMORY_BYTES = 2 * 2**30
START_SECONDS = 60.0


class FunctionAnswer(msgspec.Struct, frozen=True):
    """The answer of the process to one row: the value that the function returned, or the text of its error."""

    value: Any = None
    error: str | None = None


class UserFunction:
    """A function in its own process, which starts with the first row and ends with this object."""

    def __init__(self, root: Path, function: str, seconds: float) -> None:
        self.function, self.seconds = function, seconds
        self.path = root / function_path(function)
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = self.line = b""

    def __call__(self, row: Any) -> Any:
        """Return the result of the function for a row. Raises DataError with its error and the row's question."""
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.line = msgspec.json.encode(row)
        try:
            self.process.stdin.write(self.line + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._error("its process ended - does it need more than 2 GB of memory?") from None
        return self._answer(self.seconds)

    def _start(self) -> None:
        import subprocess
        import tempfile

        if not self.path.is_file():
            raise self._error(f"{self.path.name} not found - write the function into {function_path(self.function)}")
        folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-I", "-c", RUNNER, str(MEMORY_BYTES)]
        self.process = subprocess.Popen(
            [*command, str(self.path.resolve()), self.function.partition(":")[2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder.name,
            env={key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT") if key in os.environ},
        )
        weakref.finalize(self, _end, self.process, folder)
        self._answer(START_SECONDS)

    def _answer(self, seconds: float) -> Any:
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if not select.select([descriptor], [], [], seconds)[0]:
                self.process.kill()
                raise self._error(f"no result after {seconds:g} seconds - make it faster, or raise `seconds`")
            part = os.read(descriptor, 1 << 16)
            if not part:
                raise self._error("its process ended - does it need more than 2 GB of memory?")
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            answer = msgspec.json.decode(line, type=FunctionAnswer)
        except (msgspec.MsgspecError, RecursionError) as error:  # not a number, or nested too deeply
            raise self._error(f"returned a value that JSON cannot hold: {error} - correct the function") from None
        if answer.error is not None:
            keys = f" (the row has {', '.join(_keys(self.line)[:12])})" if answer.error.startswith("KeyError") else ""
            raise self._error(f"raised {answer.error}{keys} - correct the function")
        return answer.value

    def _error(self, problem: str) -> DataError:
        question = f" for the row that asks {_question(self.line)!r}" if self.line else ""
        return DataError(f"function {self.function}{question}: {problem}")


def function_path(function: str) -> str:
    """Return the path of a function's file relative to the project."""
    return function.partition(":")[0].replace(".", "/") + ".py"


def require_function(function: str) -> None:
    """Raise ValueError unless the text names a function as `module:function`."""
    module, _, name = function.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"function {function!r} - write module:function, such as filters.mine:keep")


def _keys(line: bytes) -> list[str]:
    try:
        return list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except msgspec.MsgspecError:
        return []


def _question(line: bytes) -> str:
    """Return the beginning of the first user's text of a row, without secrets."""
    try:
        question = decode_example(line).group_key()
    except (msgspec.MsgspecError, RecursionError):
        return ""
    text = replace_secrets(" ".join(question.split()), ("private-key", "token", "password"))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    """End the process and remove its folder."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    process.wait()
    folder.cleanup()
