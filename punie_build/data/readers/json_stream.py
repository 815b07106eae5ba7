"""JSON values: one array of records, or records one after another, of which only one is in memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path

from punie_build.data.jsonl import LONGEST_LINE
from punie_build.data.readers.record import Numbered, shown
from punie_build.errors import DataError

BREAK = re.compile(r"[\r\n]\s*")  # in JSON only between values: those in texts are escaped


def json_of(path: Path, content: Iterator[bytes]) -> Numbered:
    """One array of records, or records one after another: each as the bytes it has in the file, on one line."""
    cursor, number = _Cursor(codecs.iterdecode(content, "utf-8-sig")), 0
    try:
        array = cursor.next() == "["
        if array:
            cursor.at += 1
        while cursor.next() not in ("", "]" if array else ""):
            number += 1
            text = cursor.value()
            yield number, (BREAK.sub(" ", text) if "\n" in text or "\r" in text else text).encode()
            if array and cursor.next() == ",":
                cursor.at += 1
            elif array and cursor.next() != "]":
                raise ValueError("',' or the array's end is missing")
        if array:
            cursor.end()
    except UnicodeDecodeError:
        raise DataError(f"{shown(path)}: not UTF-8 after record {number} - save the file as UTF-8") from None
    except ValueError as error:
        raise DataError(
            f"{shown(path)}: record {number}: not JSON: {error} - a .json file is one array of records"
        ) from None


class _Cursor:
    """A place in JSON text of which only what is being read is in memory."""

    scan = staticmethod(json.JSONDecoder(parse_int=str, parse_float=str).raw_decode)

    def __init__(self, texts: Iterator[str]) -> None:
        self.texts, self.text, self.at, self.over = texts, "", 0, False

    def grow(self) -> None:
        more = next(self.texts, None)
        self.text, self.at, self.over = self.text[self.at :] + (more or ""), 0, more is None

    def next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or self.over:
                return self.text[self.at : self.at + 1]
            self.grow()

    def value(self) -> str:
        """The text of the value that begins here. Raises ValueError."""
        while True:
            problem = "its end is not in sight"
            try:
                _, end = self.scan(self.text, self.at)
                if self.over or (end < len(self.text) and self.text[end] not in ".eE"):  # a number may go on
                    text, self.at = self.text[self.at : end], end
                    return text
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except json.JSONDecodeError as error:
                problem = error.msg
            if self.over or len(self.text) - self.at > LONGEST_LINE:
                raise ValueError(problem)
            self.grow()

    def end(self) -> None:
        """Pass the `]` of the array; nothing may follow it."""
        if self.next() != "]":
            raise ValueError("the array does not end")
        self.at += 1
        if self.next():
            raise ValueError("something follows the array")
