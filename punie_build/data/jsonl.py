"""JSONL: the files of rows that punie-build writes and reads again. Files of other people are read by `readers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from punie_build.data.example import SPLITS

LONGEST_LINE = 16 * 2**20  # bytes; one conversation is kilobytes, so a longer line is a file that is not JSONL
SHOWN = 20  # bad lines told one by one; the rest are counted
BLOCK = 2**18  # bytes read and written at once: more leaves the processor's cache
LFS = b"version https://git-lfs.github.com/spec/"  # what stands in a file whose content git keeps elsewhere


class Piece(NamedTuple):
    """The lines of a split's file that begin in [start, end)."""

    split: str
    start: int
    end: int


def blocks(path: Path, start: int = 0, end: int | None = None) -> Iterator[list[bytes]]:
    """The lines of a file of ours that begin in [start, end), with their ends, about BLOCK bytes at a time."""
    with path.open("rb", buffering=BLOCK) as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the end of a line that begins before
        while (left := BLOCK if end is None else min(BLOCK, end - file.tell())) > 0:
            # readlines goes on until it has more than it was asked for, and takes 0 for no limit
            lines = file.readlines(left - 1) if left > 1 else [file.readline()]
            if not any(lines):
                return
            yield lines


def pieces(folder: Path, size: int) -> list[Piece]:
    """All rows of a data folder in pieces of `size` bytes, in order."""
    found = []
    for split in SPLITS:
        whole = (folder / f"{split}.jsonl").stat().st_size
        found += [Piece(split, start, min(start + size, whole)) for start in range(0, whole, size)]
    return found
