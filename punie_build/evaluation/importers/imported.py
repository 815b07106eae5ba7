"""The input and the result of an importer, and the reader of JSON and JSONL files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.errors import DataError
from punie_build.evaluation.suite import Case, Suite

GZIP, MAX_UNZIPPED = b"\x1f\x8b", 512 << 20


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
    try:
        text = unzipped(path.read_bytes(), MAX_UNZIPPED)
    except ValueError as error:
        raise DataError(f"{path.name}: {error} - unpack it") from None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = [
            decode_json(f"{path.name}:{number}", line)
            for number, line in enumerate(text.split(b"\n"), 1)
            if line.strip()
        ]
    if isinstance(value, dict):
        value = next((value[key] for key in ("prompts", "tests", "cases") if isinstance(value.get(key), list)), [value])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{path.name}: not a list of objects - use JSON or JSONL")
    return value


def unzipped(data: bytes, limit: int) -> bytes:
    """Return the content of gzip, or other data as they are. Raise ValueError for damaged data, and,
    with a limit of MAX_UNZIPPED, for data without their end."""
    if not data.startswith(GZIP):
        return data
    unzip = zlib.decompressobj(31)
    try:
        content = unzip.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(f"not gzip: {error}") from None
    if limit == MAX_UNZIPPED and not unzip.eof:
        raise ValueError(f"gzip that is cut off, or has more than {MAX_UNZIPPED >> 20} MB")
    return content


def decode_json(where: str, text: bytes) -> Any:
    """Return the value of a JSON text. Raise DataError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "tables inside each other without end" if isinstance(error, RecursionError) else error
        raise DataError(f"{where}: not JSON: {reason} - write one object a line") from None


def build_suite(path: Path, cases: list[Case], notes: list[str], unique: bool = False, **fields: Any) -> ImportedSuite:
    """Return the imported suite. With `unique` repeated ids get a number. Raise DataError without cases."""
    if unique:
        counts: dict[str, int] = {}
        cases = [structs.replace(case, id=_unique(case.id, counts)) for case in cases]
    if not cases:
        raise DataError(f"{path.name}: no case that can be imported{''.join(f'; {note}' for note in notes[:5])}")
    suite, count = _without_nulls(Suite(cases=tuple(cases), **fields))
    if count:
        notes = [*notes, f"{count} null values of tool declarations, such as `default`, are left out: TOML has no null"]
    return ImportedSuite(suite=suite, notes=tuple(notes))


def _unique(name: str, counts: dict[str, int]) -> str:
    counts[name] = counts.get(name, 0) + 1
    return name if counts[name] == 1 else f"{name}-{counts[name]}"


def _without_nulls(suite: Suite) -> tuple[Suite, int]:
    """Return the suite without null in its declarations of tools, and how many there were."""
    count = 0

    def clean(value: Any) -> Any:
        nonlocal count
        if isinstance(value, dict):
            count += sum(item is None for item in value.values())
            return {key: clean(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            count += sum(item is None for item in value)
            return type(value)(clean(item) for item in value if item is not None)
        return value

    cases = tuple(structs.replace(case, tools=clean(case.tools)) for case in suite.cases)
    return structs.replace(suite, cases=cases, tools=clean(suite.tools)), count
