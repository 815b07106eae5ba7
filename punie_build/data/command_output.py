"""Rows that a program of the user writes on its standard output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from punie_build.data.readers.record import display_path
from punie_build.errors import DataError
from punie_build.runtime.child import EXEC_PROGRAM, Child


def run_command(root: Path, argv: tuple[str, ...], folder: Path, timeout: float = 3600) -> Path:
    """Run a program in the project's folder, without shell and input. Its stdout is `rows.jsonl` in `folder`.

    Its stderr is `stderr.log` beside it. Its process group is killed at its end, with the build, and after `timeout`
    seconds. Raises DataError with the end of stderr if it fails.
    """
    name = " ".join(argv) if len(" ".join(argv)) <= 60 else argv[0]
    program = sys.executable if argv[0] in ("python", "python3") else argv[0]
    if not shutil.which(root / program if "/" in program else program):
        raise DataError(f"{name}: no program '{program}' - install it, or correct `argv`")
    folder.mkdir(parents=True, exist_ok=True)
    rows, log = folder / "rows.jsonl", folder / "stderr.log"
    with rows.open("wb") as output, _Program((program, *argv[1:]), root, output, log) as child:
        try:
            code = child.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DataError(
                f"{name}: still running after {timeout:g} s - raise `timeout`, or let it print less"
            ) from None
    if code:
        raise DataError(f"{name}: exit code {code} - the end of {display_path(log)}:\n{child.tail() or '    (empty)'}")
    return rows


class _Program(Child):
    """A child process that runs any program, with its stdout in the file `output` and its stderr in `log`."""

    def __init__(self, argv: tuple[str, ...], root: Path, output: IO[bytes], log: Path) -> None:
        super().__init__(argv[0], list(argv[1:]), log, {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")})
        self.working_directory, self.output = root, output

    def command(self, parent_pipe: int) -> list[str]:
        return [sys.executable, "-P", "-c", EXEC_PROGRAM, str(parent_pipe), self.module, *self.arguments]

    def stop(self) -> int:
        """Kill the process group, so that no process that it started writes to `output` after this."""
        code = super().stop()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return code
