"""Random access to the rows of JSONL files, for data that is reordered without being held in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from punie_build.data import jsonl
from punie_build.data.example import Row, decode_example


class RowLocation(NamedTuple):
    """The position of a row in a list of files, with the row's content hash: about 200 bytes of memory for each row."""

    file: int
    offset: int
    length: int
    hash: str

    def content_hash(self) -> str:
        return self.hash


class RowFiles:
    """JSONL files of rows, open for reading at any offset."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        self.paths = paths
        self.files = [stack.enter_context(path.open("rb")) for path in paths]

    def locations(self) -> Iterator[RowLocation]:
        """Yield the location of every row, file by file."""
        for number, path in enumerate(self.paths):
            offset = 0
            for lines in jsonl.read_blocks(path):
                for line in lines:
                    yield RowLocation(number, offset, len(line), decode_example(line).content_hash())
                    offset += len(line)

    def row(self, location: RowLocation) -> Row:
        """Read one row."""
        line = os.pread(self.files[location.file].fileno(), location.length, location.offset).rstrip(b"\r\n")
        return Row(line, decode_example(line))
