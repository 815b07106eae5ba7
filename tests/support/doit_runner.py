"""Run doit in a project, as a user does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def doit(project: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "doit", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "COLUMNS": "200", **variables},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(output: str) -> set[str]:
    """Return the labels of the artifacts that a build made or restored."""
    return set(re.findall(r"^\.  (\S+)$", output, re.MULTILINE))
