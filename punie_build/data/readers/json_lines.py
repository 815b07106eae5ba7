"""Records of a file of lines, which some programs fill with one JSON array instead."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.json_stream import read_json
from punie_build.data.readers.lines import split_lines
from punie_build.data.readers.record import TOO_LONG, NumberedRecords


def read_lines(path: Path, content: Iterator[bytes]) -> NumberedRecords:
    """Yield every line as a record, without byte order marks; a line that is too long is replaced by its error.

    Blank lines are no records. A file that holds one JSON array, or objects over several lines, is read as JSON.
    """
    head, content = _peek(content)
    if _is_json(head):
        yield from read_json(path, content)
        return
    for number, line in enumerate(chain.from_iterable(split_lines(content)), 1):
        record = line
        while record.startswith(codecs.BOM_UTF8):  # also within files that were joined
            record = record.removeprefix(codecs.BOM_UTF8)
        if record and not record.isspace():
            yield number, record if len(record) <= MAX_LINE_BYTES else TOO_LONG


def _peek(content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first line that is not blank, as far as it is no longer than a line may be, and the whole content."""
    head, chunks = b"", []
    for chunk in content:
        chunks.append(chunk)
        head = (head + chunk).removeprefix(codecs.BOM_UTF8).lstrip()
        if b"\n" in head or len(head) > MAX_LINE_BYTES or head[:1] not in (b"", b"[", b"{"):
            break
    return head.split(b"\n", 1)[0].rstrip(), chain(chunks, content)


def _is_json(line: bytes) -> bool:
    """Return whether a file that begins with this line is one JSON array, or has objects over several lines."""
    if line in (b"[", b"{"):
        return True
    if not line.startswith(b"["):
        return False
    try:
        items = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return not line.endswith(b"]") and len(line) > 1 and line[1:].lstrip()[:1] in (b"{", b"[", b"")
    # a list of messages is one row; a list of rows is the whole file
    return bool(items) and all(isinstance(item, dict) and not {"role", "from"} & item.keys() for item in items)
