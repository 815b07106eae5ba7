"""Gathering: the rows of a source, whatever it is and however it is written, as chat.

A line that is chat already is kept byte for byte; any other dialect is rewritten, once, here. What cannot be read is never left
out in silence: it is told, the first twenty with their reasons, and nothing is made; or, where the recipe says so, dropped with its
reason like what a filter drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.data import downloads
from punie_build.data.dialects import normalize
from punie_build.data.example import Row, parse
from punie_build.data.jsonl import SHOWN
from punie_build.data.readers import records
from punie_build.data.sources import (
    AnySource,
    Command,
    HandAuthored,
    Http,
    Hub,
    Local,
    Sample,
    as_chat,
)
from punie_build.errors import DataError

Files = Iterable[tuple[str | None, Path]]
HINTS = (b"<tool_call", b"<function", b"```", b"FUNCTION RESPONSE", b"<|endoftext|>", b"<tools>", b"\\u00")


class Unreadable(Struct, frozen=True):
    """A record that is not chat in any dialect: where it stands, why not, and its bytes as far as they are known."""

    where: str
    reason: str
    line: bytes = b""


def gather(root: Path, source: AnySource, dialect: str, scratch: Path) -> Iterator[tuple[str | None, Row | Unreadable]]:
    """Every record of a source with the side it belongs to, or None. `scratch` is a folder for what a program prints."""
    if isinstance(source, Sample | HandAuthored):
        yield from ((None, parse(msgspec.json.encode(record))) for record in source.records())
        return
    files, form = _files(root, source, scratch)
    left: dict[str | None, int] = {}
    for side, path in files:
        for number, record in records.records(path, form):
            if source.limit is not None and left.setdefault(side, source.limit) == 0:
                break
            left[side] = left.get(side, 0) - 1
            try:
                if isinstance(record, str):
                    raise ValueError(record)
                yield side, chat(record, dialect)
            except ValueError as error:
                line = record if isinstance(record, bytes) else b""
                yield side, Unreadable(f"{records.shown(path)}:{number}", _printable(str(error)), line)


def readable(found: Iterable[tuple[str | None, Row | Unreadable]]) -> Iterator[tuple[str | None, Row]]:
    """The rows alone. Raises DataError after the last one if any record was unreadable: the first of them, the rest counted."""
    first: list[str] = []
    count = 0
    for side, row in found:
        if isinstance(row, Row):
            yield side, row
            continue
        count += 1
        if count <= SHOWN:
            first.append(f"{row.where}: {row.reason}")
    if count > SHOWN:
        first.append(f"... and {count - SHOWN} more such lines")
    if count:
        raise DataError("\n".join(first))


def _files(root: Path, source: Any, scratch: Path) -> tuple[Files, str | None]:
    """(files with their sides, their format where the name does not say it)."""
    match source:
        case Local():
            return records.files(root / source.path), source.format
        case Http():
            path = downloads.http(root, source.url, source.sha256, str(source.form), source.max_mb)
            return [(None, path)], source.form
        case Hub():
            found = downloads.hub(
                root, source.repo, source.revision, source.files, source.split, source.config, source.limit
            )
            return found, None
        case Command():
            return [(None, downloads.command(root, source.argv, scratch, source.timeout))], "jsonl"
    raise TypeError(f"no way to read {source}")


def _printable(reason: str) -> str:
    """On one line, and of characters that can be written: a reason may show what is wrong with them."""
    return " ".join(reason.encode("utf-8", "backslashreplace").decode().split())


def chat(record: bytes | dict[str, Any], dialect: str) -> Row:
    """One record as a row of chat: its own bytes where it is that already. Raises ValueError with the reason."""
    if isinstance(record, dict):
        return _written(record, dialect)
    if dialect in ("auto", "messages") and not any(hint in record for hint in HINTS):
        try:
            return parse(record)
        except ValueError as error:
            return _rewritten(record, dialect, error)
    return _rewritten(record, dialect, None)


def _rewritten(line: bytes, dialect: str, why: ValueError | None) -> Row:
    """A line that is not plain chat: in another dialect, or not to be read for the reason `why`."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return parse(line)  # says what is wrong with it
    if why and "messages" in record:
        raise why
    return _written(record, dialect, line)


def _written(record: dict[str, Any], dialect: str, line: bytes | None = None) -> Row:
    """A record in the one form; `line` is what says it, where it need not be written anew."""
    try:
        normal = normalize.normalise(as_chat(record), dialect)
        return parse(line if line and normal is record else _encoded(normal))
    except RecursionError:
        raise ValueError("nested too deep - is this a conversation?") from None


def _encoded(record: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(record)
    except (UnicodeEncodeError, TypeError) as error:  # half a surrogate pair; what only a table can hold
        raise ValueError(f"cannot be written as JSON: {error} - mend the row or leave it out") from None
