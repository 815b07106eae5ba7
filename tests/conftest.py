"""What tests share: a project in a temporary folder, and nano where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
