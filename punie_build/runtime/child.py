"""Child processes for heavy work. Each writes to a log file and ends with the build."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
from msgspec import Struct

from punie_build.errors import ModelError

KILL_SECONDS = 5.0
MESSAGE_LINES = 30  # of one message
TRACEBACK = "Traceback (most recent call last)"
ERROR = re.compile(rf"{re.escape(TRACEBACK)}|\bERROR\b|^\w*(Error|Exception): ")
EXEC_PROGRAM = (  # a program for `python -c` that replaces itself by a command and ties that to its parent
    "import os, sys; from punie_build.runtime.parent_watch import watch_parent; "
    "watch_parent(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)


class Child:
    """A Python module that runs in its own process group: `with Child("mlx_lm", ["server"], log) as child: ...`

    Its output goes to the file `log`, which is emptied first, not to a pipe: a full pipe stops a server after 159
    requests. Leaving the block ends it; `grace_seconds` is the time between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        module: str,
        arguments: list[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        grace_seconds: float = 5.0,
    ) -> None:
        self.module, self.arguments, self.log = module, arguments, log
        self.env, self.grace_seconds = dict(env or {}), grace_seconds
        self.output: IO[bytes] | None = None  # file for stdout; None: the log
        self.working_directory: Path | None = None

    def command(self, parent_pipe: int) -> list[str]:
        """Return the command line of a process that ends when the other end of the pipe `parent_pipe` closes."""
        return [
            sys.executable,
            "-P",  # a file of the project, such as queue.py, is no module of a child
            "-m",
            "punie_build.runtime.parent_watch",
            str(parent_pipe),
            self.module,
            *self.arguments,
        ]

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        read_end, self._write_end = os.pipe()
        try:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    self.command(read_end),
                    stdin=subprocess.DEVNULL,
                    stdout=self.output or log,
                    stderr=log,
                    cwd=self.working_directory,
                    pass_fds=(read_end,),
                    start_new_session=True,
                    env={**os.environ, "PYTHONSAFEPATH": "1", **self.env},
                )
        except BaseException:
            os.close(self._write_end)
            raise
        finally:
            os.close(read_end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            write_end, self._write_end = self._write_end, -1
            if write_end >= 0:  # on a second exit the number may belong to another file
                os.close(write_end)

    def stop(self) -> int:
        """Send SIGTERM, then SIGKILL, to the whole group, and return the exit code. A child that has ended gets no
        signal."""
        for number, seconds in ((signal.SIGTERM, self.grace_seconds), (signal.SIGKILL, KILL_SECONDS)):
            if self.process.poll() is not None:
                break
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        return self.process.wait()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        """Return the text of the log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 12) -> str:
        """Return the first error in the log and the lines behind it, else the last lines, indented, for a message.

        What a program prints after an error, such as statistics, says less than the error.
        """
        text = self.text().splitlines()
        first = next((number for number, line in enumerate(text) if ERROR.search(line)), len(text))
        start = min(first, max(len(text) - lines, 0))
        shown = text[start : start + lines]
        if shown and TRACEBACK in shown[0]:  # the last line of a traceback names the error
            end = next((number for number, line in enumerate(text[start + 1 :], start + 1) if line[:1].strip()), start)
            shown = [shown[0], *text[max(end - lines + 2, start + 1) : end + 1]]
        return "\n".join(f"    {line}" for line in shown)

    def messages(self) -> list[str]:
        """Return the messages for users in the log, each once: from `punie: ` to the end of the message."""
        messages: dict[str, None] = {}
        for part in re.split(r"^punie: ", self.text(), flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next((number for number, line in enumerate(lines) if number and not line[:1].isspace()), len(lines))
            messages["\n".join(lines[: min(end, MESSAGE_LINES)])] = None
        return [*messages]  # several ranks write the same message

    def failure(self, subject: str) -> str:
        """Return the reason of a failure: its messages for users (`punie: ...`), else its exit code and the error in
        its log."""
        code = self.process.returncode
        if messages := self.messages():
            return "\n".join(messages)
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return (
                f"{subject} was killed, most likely for lack of memory - "
                "close other programs, or lower batch_size or max_seq_length"
            )
        return f"{subject} ended with exit code {code} - from its log, {self.log.name}:\n{self.tail()}"


def job_file(path: Path, job: Struct) -> str:
    """Write the parameters of a process to a JSON file, and return its path as the argument of the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(job))
    return str(path)


def run(
    module: str, arguments: list[str], log: Path, env: Mapping[str, str] | None = None, subject: str | None = None
) -> None:
    """Run a module of this package to its end. Raise ModelError with the reason if it fails. `subject`: the work of the
    module, in words; default: the name of the module."""
    with Child(module, arguments, log, env) as child:
        child.process.wait()
        if child.process.returncode != 0:
            raise ModelError(child.failure(subject or module.rpartition(".")[2]))
