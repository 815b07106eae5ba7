"""JSONL: the files of rows that punie-build writes and reads again. Files of other people are read by `readers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LONGEST_LINE = 16 * 2**20  # bytes; one conversation is kilobytes, so a longer line is a file that is not JSONL
SHOWN = 20  # bad lines told one by one; the rest are counted
BLOCK = 2**20
LFS = b"version https://git-lfs.github.com/spec/"  # what stands in a file whose content git keeps elsewhere


def blocks(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file of ours, with their ends, about BLOCK bytes at a time."""
    with path.open("rb") as file:
        while lines := file.readlines(BLOCK):
            yield lines
