"""What all readers share: what a record is, how much is read at once, and how a file is called in messages."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie_build.data.jsonl import LONGEST_LINE
from punie_build.errors import DataError

Record = bytes | dict[str, Any] | str
Numbered = Iterator[tuple[int, Record]]
BLOCK = 2**20  # bytes read at once
TOO_LONG = f"longer than {LONGEST_LINE // 2**20} MiB - is this file one record a line?"


def shown(path: Path) -> Path:
    """A path as messages say it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def needed(package: str, where: object, what: str) -> Any:
    """Import an optional package, or say how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise DataError(
            f"{where}: {what} are read by {package.partition('.')[0]}, which is not installed - pip install 'punie-build[tables]'"
        ) from None
