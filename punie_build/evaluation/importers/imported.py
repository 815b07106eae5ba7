"""What importers share: where they read, what they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.errors import DataError
from punie_build.evaluation.suite import Case, Suite


class ImportSource(Struct, frozen=True, kw_only=True):
    """A file to import. `answers`: a second file, where the right answers are kept apart. `strict`: judge as strictly as what is said
    allows, instead of as its own evaluator did."""

    path: Path
    answers: Path | None = None
    strict: bool = False


class ImportedSuite(Struct, frozen=True, kw_only=True):
    """The suite, and what of the file is not in it."""

    suite: Suite
    notes: tuple[str, ...] = ()


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file, or of a JSON file that is a list, or has one under `prompts` or `tests`. Raises DataError."""
    text = path.read_bytes()
    try:
        whole = msgspec.json.decode(text)
    except msgspec.DecodeError:
        whole = [_decoded(path, number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if isinstance(whole, dict):
        whole = next((whole[key] for key in ("prompts", "tests", "cases") if isinstance(whole.get(key), list)), [whole])
    if not isinstance(whole, list) or not all(isinstance(each, dict) for each in whole):
        raise DataError(f"{path.name}: not a list of objects - give JSON or JSONL")
    return whole


def _decoded(path: Path, number: int, line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise DataError(f"{path.name}:{number}: not JSON: {error} - one object a line") from None


def build_suite(path: Path, cases: list[Case], notes: list[str], **more: Any) -> ImportedSuite:
    """Raises DataError where nothing is left."""
    if not cases:
        raise DataError(f"{path.name}: no case that can be imported{''.join(f'; {note}' for note in notes[:5])}")
    return ImportedSuite(suite=Suite(cases=tuple(cases), **more), notes=tuple(notes))
