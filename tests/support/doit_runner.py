"""Run doit in a project, as a user does.

On Linux the process is forked from the test's, which has imported the package: a start of Python costs 0.4 s of CPU
time otherwise. `tests/integration/test_doit.py` and the kill tests start `python -m doit` itself as well.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tempfile
import warnings
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

TIMEOUT = 500  # seconds


def doit(project: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    """Run `doit ARGUMENT ...` in a project, which must exit with `code`. Return its output, then its errors."""
    environment = {**os.environ, "COLUMNS": "200", **variables}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        if sys.platform == "linux":
            exit_code = _fork(project, arguments, environment, out, err)
        else:
            command = [sys.executable, "-m", "doit", *arguments]
            done = subprocess.run(command, cwd=project, stdout=out, stderr=err, timeout=TIMEOUT, env=environment)
            exit_code = done.returncode
        out.seek(0)
        err.seek(0)
        output = out.read() + err.read()
    assert exit_code == code, output
    assert "Traceback" not in output
    return output


def _fork(project: Path, arguments: tuple[str, ...], environment: dict[str, str], out: TextIO, err: TextIO) -> int:
    process = get_context("fork").Process(target=_run, args=(project, arguments, environment, out, err))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: other threads only wait for xdist
        process.start()
    process.join(TIMEOUT)
    assert process.exitcode is not None, f"doit still runs after {TIMEOUT} s"
    return process.exitcode


def _run(project: Path, arguments: tuple[str, ...], environment: dict[str, str], out: TextIO, err: TextIO) -> None:
    """Become the process of `python -m doit`, with output to two files."""
    warnings.resetwarnings()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(project)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", encoding="utf-8"), open(2, "w", encoding="utf-8")  # noqa: SIM115
    sys.argv[1:] = arguments
    for name in [*sys.modules]:  # doit keeps the standard output of the moment of its import
        if name.startswith(("doit.", "punie_build.doit_plugin")) or name == "doit":
            del sys.modules[name]
    runpy.run_module("doit", run_name="__main__", alter_sys=True)


def ran(output: str) -> set[str]:
    """Return the labels of the artifacts that a build made or restored."""
    return set(re.findall(r"^\.  (\S+)$", output, re.MULTILINE))
