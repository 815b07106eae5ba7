"""Ingestion: the rows of a source, in any format and dialect, as chat.

A line that is canonical chat keeps its bytes; a record in another dialect is rewritten here. A record that cannot be
read is never skipped silently: either all of them are reported, each reason with the first of them, and the build
fails; or, with `unreadable = "drop"`, each is dropped with its reason, as by a filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.command_output import run_command
from punie_build.data.depth import TOO_DEEP
from punie_build.data.dialects import normalize
from punie_build.data.dialects.canonical import is_canonical_line
from punie_build.data.dialects.columns import CHAT, Layout, map_columns, raw_text_row
from punie_build.data.dialects.keys import unknown_keys
from punie_build.data.dialects.preference import preference_row
from punie_build.data.dialects.shapes import as_record
from punie_build.data.double_keys import double_key
from punie_build.data.downloads import download_http
from punie_build.data.example import Row, decode_example, parse
from punie_build.data.hub_files import download_dataset
from punie_build.data.readers.discovery import data_files
from punie_build.data.readers.record import display_path
from punie_build.data.readers.records import read_files
from punie_build.data.sources import (
    Answers,
    AnySource,
    Command,
    HandAuthored,
    Http,
    Hub,
    Local,
    Sample,
    code_pair_to_chat,
)
from punie_build.data.unreadable import UnreadableRow, UnreadableRows
from punie_build.errors import DataError

MAX_UNREADABLE = 10_000  # records at the begin of a source, all unreadable, after which it is given up
Records = Iterator[tuple[str | None, Row | UnreadableRow]]
SourceFiles = Iterable[tuple[str | None, Path]]  # files with their splits


def ingest(root: Path, source: AnySource, dialect: str, scratch: Path, layout: Layout = CHAT) -> Records:
    """Yield every record of a source with its split, or None. `scratch` is a folder for the output of a command.

    Raises DataError if a source begins with `MAX_UNREADABLE` records of which none can be read: a flood is not read to
    its end.
    """
    yield from _until_hopeless(_records(root, source, dialect, scratch, layout))


def _records(root: Path, source: AnySource, dialect: str, scratch: Path, layout: Layout) -> Records:
    if isinstance(source, Sample | HandAuthored):
        yield from ((None, parse(msgspec.json.encode(record))) for record in source.records())
        return
    files, form = _source_files(root, source, scratch)
    remaining: dict[str | None, int] = {}
    for split, path, records in read_files(files, form):
        for number, record in records:
            if source.limit is not None and remaining.setdefault(split, source.limit) == 0:
                break
            remaining[split] = remaining.get(split, 0) - 1
            try:
                if isinstance(record, str):
                    raise ValueError(record)
                yield split, to_chat_row(record, dialect, layout)
            except ValueError as error:
                line = record if isinstance(record, bytes) else b""
                yield split, UnreadableRow(f"{display_path(path)}:{number}", _printable(str(error)), line)


def _until_hopeless(rows: Records) -> Records:
    unreadable: UnreadableRows | None = UnreadableRows()
    for split, row in rows:
        if not isinstance(row, UnreadableRow):
            unreadable = None
        elif unreadable is not None:
            unreadable.add(row)
            if unreadable.count == MAX_UNREADABLE:
                raise DataError(
                    f"none of the first {MAX_UNREADABLE:,} rows can be read, the others were not tried - correct the "
                    "source, or name its dialect\n" + "\n".join(unreadable.lines())
                )
        yield split, row


def require_readable(rows: Iterable[tuple[str | None, Row | UnreadableRow]]) -> Iterator[tuple[str | None, Row]]:
    """Yield the readable rows. Raises DataError after the last row if any was unreadable, with the first of them."""
    unreadable = UnreadableRows()
    for split, row in rows:
        if isinstance(row, Row):
            yield split, row
        else:
            unreadable.add(row)
    if unreadable.count:
        raise DataError("\n".join(unreadable.lines()))


def _source_files(root: Path, source: Any, scratch: Path) -> tuple[SourceFiles, str | None]:
    """Return the files with their splits, and their format where their names do not state it."""
    match source:
        case Local():
            return data_files(root / source.path), source.format
        case Answers():
            return data_files(root / source.inputs()[0]), "jsonl"
        case Http():
            path = download_http(root, source.url, source.sha256, str(source.file_format), source.max_mb)
            return [(None, path)], source.file_format
        case Hub():
            files = download_dataset(
                root, source.repo, source.revision, source.files, source.split, source.config, source.limit
            )
            return files, None
        case Command():
            return [(None, run_command(root, source.argv, scratch, source.timeout))], "jsonl"
    raise TypeError(f"unsupported source: {source}")


def _printable(reason: str) -> str:
    """Return the reason on one line; surrogates and control characters that it quotes are escaped."""
    line = " ".join(reason.split())
    return (
        line
        if line.isprintable()
        else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    )


def to_chat_row(record: bytes | dict[str, Any], dialect: str, layout: Layout = CHAT) -> Row:
    """Convert a record to a row of chat; a canonical line keeps its bytes. Raises ValueError with the reason.

    The result depends on the content only: a line, the same record in an array, and the same row of a table give the
    same row.
    """
    if isinstance(record, dict):
        return _canonical_row(record, dialect, layout)
    if not layout.is_special and dialect in ("auto", "messages") and is_canonical_line(record):
        return Row(record, decode_example(record))
    _refuse_double_keys(record)
    problem = ""
    try:
        value = msgspec.json.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        value, problem = None, str(error)
    decoded = as_record(value)
    if not isinstance(decoded, dict):
        try:
            return parse(record)  # raises the reason
        except ValueError:
            if "out of range" in problem:
                raise ValueError("a number is out of range - write it as text, or remove it") from None
            raise
    return _canonical_row(decoded, dialect, layout, record if decoded is value else None)


def _refuse_double_keys(json: bytes, where: str = "one object") -> None:
    if key := double_key(json):
        raise ValueError(f"'{key}' occurs twice in {where}: one value would be lost - remove the other")


def _canonical_row(record: dict[str, Any], dialect: str, layout: Layout, line: bytes | None = None) -> Row:
    """Return a record in canonical form, with the bytes of its `line` if it is canonical already."""
    try:
        original = record
        if layout.columns or layout.template:
            record = map_columns(record, layout.columns, layout.template)
        if layout.form == "text" or (layout.form == "chat" and record.get("form") == "text"):
            canonical = raw_text_row(record)
        elif layout.form == "preference":
            canonical = preference_row(record, dialect)
        else:
            canonical = normalize.to_canonical(code_pair_to_chat(record), dialect)
        row = parse(line if line and canonical is original else _encode(canonical))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    for call in row.example.calls():
        if isinstance(call.arguments, str):
            _refuse_double_keys(call.arguments.encode(), "the arguments of a call")
    return Row(row.line, row.example, unknown_keys(canonical))


def _encode(record: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(record)
    except (UnicodeEncodeError, TypeError) as error:  # half a surrogate pair; types that only a table can hold
        raise ValueError(f"cannot be written as JSON: {error} - fix the row or remove it") from None
