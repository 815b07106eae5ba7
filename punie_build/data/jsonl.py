"""JSONL files that punie-build writes and reads again. Files of other origin are read by `readers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from punie_build.data.example import SPLITS

MAX_LINE_BYTES = 16 * 2**20  # a conversation has kilobytes, so a file with a longer line is not JSONL
BLOCK_BYTES = 2**18  # read and written at once: more does not fit into the cache of a CPU


class ByteRange(NamedTuple):
    """The lines of a split's file that begin in [start, end)."""

    split: str
    start: int
    end: int


def read_blocks(path: Path, start: int = 0, end: int | None = None) -> Iterator[list[bytes]]:
    """Yield the lines that begin in [start, end), with their line ends, in lists of about BLOCK_BYTES."""
    with path.open("rb", buffering=BLOCK_BYTES) as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the end of a line that begins before `start`
        while (size := BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - file.tell())) > 0:
            # readlines reads on until it has more than the hint, and treats 0 as no limit
            lines = file.readlines(size - 1) if size > 1 else [file.readline()]
            if not any(lines):
                return
            yield lines


def byte_ranges(folder: Path, size: int) -> list[ByteRange]:
    """Return all rows of a data folder in ranges of `size` bytes, in order."""
    ranges = []
    for split in SPLITS:
        total = (folder / f"{split}.jsonl").stat().st_size
        ranges += [ByteRange(split, start, min(start + size, total)) for start in range(0, total, size)]
    return ranges
