"""Records of a JSON file: one array, or values one after another, with one record in memory at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.columns import rows_of_columns
from punie_build.data.readers.nested_rows import rows_of_object
from punie_build.data.readers.record import TOO_LONG, NumberedRecords, Record, decode_record, display_path
from punie_build.errors import DataError

BLANKS = re.compile(r"[ \t\r\n]*")
LINE_BREAK = re.compile(r"[\r\n]\s*")  # in JSON only between values: line breaks in strings are escaped


def read_json(path: Path, content: Iterator[bytes]) -> NumberedRecords:
    """Yield the items of one array, or the values of the file, each as the bytes it has in the file, on one line.

    An array of messages is one record, as it is on a line of JSONL.
    """
    cursor, number = _Cursor(codecs.iterdecode(content, "utf-8-sig")), 0
    try:
        is_array = cursor.peek() == "["
        values = _values(cursor, is_array)
        for number, value in enumerate(values, 1):
            if number == 1 and is_array and _is_message(value):
                yield 1, _joined(chain([value], values))
            elif number == 1 and not is_array and not cursor.peek() and (rows := _rows_of(value)):
                yield from enumerate(rows, 1)
            else:
                yield number, value
    except UnicodeDecodeError:
        raise DataError(f"{display_path(path)}: not UTF-8 after record {number} - save the file as UTF-8") from None
    except ValueError as error:
        raise DataError(
            f"{display_path(path)}: record {number + 1}: not JSON: {error} - write a .json file as one array of records"
        ) from None


def _values(cursor: _Cursor, is_array: bool) -> Iterator[bytes]:
    """Yield the values of a file or of its array, each on one line. Raises ValueError."""
    if is_array:
        cursor.position += 1
    while cursor.peek() not in ("", "]" if is_array else ""):
        text = cursor.read_value()
        if is_array and cursor.peek() == ",":
            cursor.position += 1
        elif is_array and cursor.peek() != "]":
            raise ValueError("',' or the array's end is missing")
        yield (LINE_BREAK.sub(" ", text) if "\n" in text or "\r" in text else text).encode()
    if is_array:
        cursor.end_array()


def _rows_of(text: bytes) -> Iterable[Record] | None:
    """Return the rows of a file that is one object, or None if the object is a record."""
    return rows_of_columns(text) or rows_of_object(text)


def _is_message(line: bytes) -> bool:
    """Whether an item of an array is a message, so that the array is one conversation."""
    item = decode_record(line) or {}
    return bool(item.keys() & {"role", "from"}) and bool(item.keys() & {"content", "value", "tool_calls"})


def _joined(messages: Iterable[bytes]) -> Record:
    """Return messages as a list on one line; no more of them are in memory than a line may have."""
    size, lines = 0, list[bytes]()
    for message in messages:
        size += len(message) + 2
        if size <= MAX_LINE_BYTES:
            lines.append(message)
    return b"[" + b", ".join(lines) + b"]" if size <= MAX_LINE_BYTES else TOO_LONG


class _Cursor:
    """A position in JSON text of which only the current value is in memory."""

    decode = staticmethod(json.JSONDecoder(parse_int=str, parse_float=str).raw_decode)

    def __init__(self, texts: Iterator[str]) -> None:
        self.texts, self.text, self.position, self.exhausted = texts, "", 0, False

    def grow(self) -> None:
        """Read more text, and drop the text before the position."""
        text = next(self.texts, None)
        self.text, self.position, self.exhausted = self.text[self.position :] + (text or ""), 0, text is None

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            self.position += len(BLANKS.match(self.text, self.position)[0])  # type: ignore[index]
            if self.position < len(self.text) or self.exhausted:
                return self.text[self.position : self.position + 1]
            self.grow()

    def read_value(self) -> str:
        """Return the text of the value that begins here. Raises ValueError."""
        while True:
            problem = "unterminated value"
            try:
                _, end = self.decode(self.text, self.position)
                if self.exhausted or (end < len(self.text) and self.text[end] not in ".eE"):  # a number may continue
                    text, self.position = self.text[self.position : end], end
                    return text
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except json.JSONDecodeError as error:
                problem = error.msg
            if self.exhausted or len(self.text) - self.position > MAX_LINE_BYTES:
                raise ValueError(problem if self.exhausted else f"a value {TOO_LONG.partition(' - ')[0]}")
            self.grow()

    def end_array(self) -> None:
        """Step over the `]` of the array. Raises ValueError if text follows it."""
        if self.peek() != "]":
            raise ValueError("the array does not end")
        self.position += 1
        if self.peek():
            raise ValueError("text follows the array")
