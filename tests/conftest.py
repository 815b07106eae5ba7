"""What tests share: a project in a temporary folder, and nano where it is installed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # one training at a time holds for a machine, by a lock in its temporary folder; two tests are two machines
    os.environ["TMPDIR"] = str(Path(tempfile.gettempdir(), f"punie-tests-{os.getuid()}-{worker}"))
    Path(os.environ["TMPDIR"]).mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = None

Write = Callable[[str], Path]


@pytest.fixture
def recipes(tmp_path: Path) -> Write:
    """Write the text of one recipe file; gives the project's root."""

    def write(text: str) -> Path:
        folder = tmp_path / "recipes"
        folder.mkdir(exist_ok=True)
        (folder / "test.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write
