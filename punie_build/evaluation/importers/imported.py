"""The input and the result of an importer, and the reader of JSON and JSONL files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.errors import DataError
from punie_build.evaluation.suite import Case, Suite


class ImportSource(Struct, frozen=True, kw_only=True):
    """A file to import.

    `answers`: a second file with the expected answers, if the format separates them. `strict`: score as strictly as the
    file permits, instead of like its own evaluator.
    """

    path: Path
    answers: Path | None = None
    strict: bool = False


class ImportedSuite(Struct, frozen=True, kw_only=True):
    """A suite, and notes on the parts of the file that it does not contain."""

    suite: Suite
    notes: tuple[str, ...] = ()


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Read objects from JSONL, a JSON list, or a list under `prompts`, `tests` or `cases`. Raise DataError."""
    text = path.read_bytes()
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = [_decode(path, number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if isinstance(value, dict):
        value = next((value[key] for key in ("prompts", "tests", "cases") if isinstance(value.get(key), list)), [value])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{path.name}: not a list of objects - use JSON or JSONL")
    return value


def _decode(path: Path, number: int, line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise DataError(f"{path.name}:{number}: not JSON: {error} - write one object a line") from None


def build_suite(path: Path, cases: list[Case], notes: list[str], **fields: Any) -> ImportedSuite:
    """Return the imported suite. Raise DataError without cases."""
    if not cases:
        raise DataError(f"{path.name}: no case that can be imported{''.join(f'; {note}' for note in notes[:5])}")
    return ImportedSuite(suite=Suite(cases=tuple(cases), **fields), notes=tuple(notes))
