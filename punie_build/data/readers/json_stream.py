"""Records of a JSON file: one array, or values one after another, with one record in memory at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.columns import rows_of_columns
from punie_build.data.readers.nested_rows import rows_of_object
from punie_build.data.readers.record import NumberedRecords, display_path
from punie_build.errors import DataError

LINE_BREAK = re.compile(r"[\r\n]\s*")  # in JSON only between values: line breaks in strings are escaped


def read_json(path: Path, content: Iterator[bytes]) -> NumberedRecords:
    """Yield the items of one array, or the values of the file, each as the bytes it has in the file, on one line."""
    cursor, number = _Cursor(codecs.iterdecode(content, "utf-8-sig")), 0
    try:
        is_array = cursor.peek() == "["
        if is_array:
            cursor.position += 1
        while cursor.peek() not in ("", "]" if is_array else ""):
            number += 1
            text = cursor.read_value()
            if number == 1 and not is_array and not cursor.peek() and (rows := _rows_of(text.encode())):
                yield from enumerate(rows, 1)
                return
            yield number, (LINE_BREAK.sub(" ", text) if "\n" in text or "\r" in text else text).encode()
            if is_array and cursor.peek() == ",":
                cursor.position += 1
            elif is_array and cursor.peek() != "]":
                raise ValueError("',' or the array's end is missing")
        if is_array:
            cursor.end_array()
    except UnicodeDecodeError:
        raise DataError(f"{display_path(path)}: not UTF-8 after record {number} - save the file as UTF-8") from None
    except ValueError as error:
        raise DataError(
            f"{display_path(path)}: record {number}: not JSON: {error} - write a .json file as one array of records"
        ) from None


def _rows_of(text: bytes) -> Iterable[bytes] | None:
    """Return the rows of a file that is one object, or None if the object is a record."""
    return rows_of_columns(text) or rows_of_object(text)


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
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
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
                raise ValueError(problem)
            self.grow()

    def end_array(self) -> None:
        """Step over the `]` of the array. Raises ValueError if text follows it."""
        if self.peek() != "]":
            raise ValueError("the array does not end")
        self.position += 1
        if self.peek():
            raise ValueError("text follows the array")
