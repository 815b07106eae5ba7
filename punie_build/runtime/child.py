"""Children: the processes that do the heavy work. Each writes to a log file, and none outlives the build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from punie_build.errors import ModelError

KILL_SECONDS = 5.0
EXECUTE = (  # a program for `python -c` that replaces itself by a command which ends with its parent
    "import os, sys; from punie_build.runtime.parent_watch import hold; hold(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)


class Child:
    """A module of Python running in its own process group: `with Child("mlx_lm", ["server"], log) as child: ...`

    Its output goes to `log`, made anew, never to a pipe: a full pipe stops a server after 159 requests. Leaving the block
    ends it; `patience` is how many seconds it has between SIGTERM and SIGKILL.
    """

    def __init__(
        self, module: str, arguments: list[str], log: Path, env: Mapping[str, str] | None = None, patience: float = 5.0
    ) -> None:
        self.module, self.arguments, self.log = module, arguments, log
        self.env, self.patience = dict(env or {}), patience
        self.output: IO[bytes] | None = None  # where what it prints goes, if not into the log
        self.folder: Path | None = None

    def words(self, rope: int) -> list[str]:
        """The command: it ends with whoever holds the other end of the pipe `rope`."""
        return [sys.executable, "-m", "punie_build.runtime.parent_watch", str(rope), self.module, *self.arguments]

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        read, self._rope = os.pipe()
        try:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    self.words(read),
                    stdin=subprocess.DEVNULL,
                    stdout=self.output or log,
                    stderr=log,
                    cwd=self.folder,
                    pass_fds=(read,),
                    start_new_session=True,
                    env={**os.environ, **self.env},
                )
        except BaseException:
            os.close(self._rope)
            raise
        finally:
            os.close(read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            rope, self._rope = self._rope, -1
            if rope >= 0:  # left twice: the number may be another file's by now
                os.close(rope)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL, to the whole group; its exit code. A child that has ended is left alone."""
        for sign, seconds in ((signal.SIGTERM, self.patience), (signal.SIGKILL, KILL_SECONDS)):
            if self.process.poll() is not None:
                break
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        return self.process.wait()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 12) -> str:
        """The last lines of the log, for an error message."""
        return "\n".join(f"    {line}" for line in self.text().splitlines()[-lines:])

    def failure(self, what: str) -> str:
        """Why it failed: the sentences it wrote for people (`punie: ...`), else its exit code and the end of its log."""
        said = [line.removeprefix("punie: ") for line in self.text().splitlines() if line.startswith("punie: ")]
        code = self.process.returncode
        if said:
            return "\n".join(dict.fromkeys(said))  # several ranks say the same
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return f"{what} was killed, most likely for want of memory - close other programs, or lower batch_size or max_seq_length"
        return f"{what} ended with exit code {code} - the end of its log, {self.log.name}:\n{self.tail()}"


def run(module: str, arguments: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a module of ours to its end. Raises ModelError with what it said."""
    with Child(module, arguments, log, env) as child:
        child.process.wait()
        if child.process.returncode != 0:
            raise ModelError(child.failure(module.rpartition(".")[2]))
