"""Run a command of punie-build in the process of a test: its start costs half a second of CPU time otherwise."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess, run

from punie_build.cli.main import main


def punie_build(folder: Path, *arguments: str, **variables: str) -> CompletedProcess[str]:
    """Run `punie-build ARGUMENT ...` in a folder, as a local user does. Return its exit code and output."""
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(environment | {"COLUMNS": "120"} | variables)
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(arguments)
            except SystemExit as exit_:
                code = int(exit_.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def program(folder: Path, *arguments: str) -> CompletedProcess[str]:
    """Run `punie-build ARGUMENT ...` as a process, for commands that run doit: it keeps much in its modules."""
    return run([sys.executable, "-m", "punie_build", *arguments], cwd=folder, capture_output=True, text=True)
