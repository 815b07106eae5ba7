"""Types, limits and messages that all readers share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.errors import DataError

Record = bytes | dict[str, Any] | str  # a line, a row of a table, or the reason why there is neither
NumberedRecords = Iterator[tuple[int, Record]]
CHUNK_BYTES = 2**20  # read at once
TOO_LONG = f"longer than {MAX_LINE_BYTES // 2**20} MiB - write one record per line"


def decode_record(record: Record) -> dict[str, Any] | None:
    """Return a record as an object; None if it is none."""
    if isinstance(record, dict):
        return record
    try:
        value = msgspec.json.decode(record) if isinstance(record, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def display_path(path: Path) -> Path:
    """Return a path as messages show it: relative to the current folder where it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def import_optional(module: str, where: object, files: str) -> Any:
    """Import a module of an optional package. Raises DataError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{where}: {files} need {module.partition('.')[0]}, which is not installed"
            " - pip install 'punie-build[tables]'"
        ) from None
