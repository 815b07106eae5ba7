"""JSONL: rows in, rows out. A file is read whole or not at all, and its problems are told all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from punie_build.errors import DataError
from punie_build.examples import Row, parse

LONGEST_LINE = 16 * 2**20  # bytes; one conversation is kilobytes, so a longer line is a file that is not JSONL
SHOWN = 20
BLOCK = 2**20
LFS = b"version https://git-lfs.github.com/spec/"  # what stands in a file whose content git keeps elsewhere


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each line, without its end; None for a line above LONGEST_LINE, which is never held in memory."""
    number = 0
    while chunk := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(chunk) > LONGEST_LINE and not chunk.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, chunk.rstrip(b"\r\n")


def blocks(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file of ours, with their ends, about BLOCK bytes at a time."""
    with path.open("rb") as file:
        while lines_ := file.readlines(BLOCK):
            yield lines_


def problems(path: Path) -> Iterator[str | Row]:
    """Each line of a file as a row, or as a text saying what is wrong with it."""
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    with path.open("rb") as file:
        for number, line in lines(file):
            if line is None:
                yield f"{shown}:{number}: longer than {LONGEST_LINE // 2**20} MiB - is this file JSONL?"
                continue
            if number == 1 and line.startswith(LFS):
                yield f"{shown}: a Git LFS pointer, not the data - run `git lfs pull`"
                return
            try:
                yield parse(line)
            except ValueError as error:
                yield f"{shown}:{number}: {error}"


def read(path: Path) -> Iterator[Row]:
    """The rows of a file, streamed. Raises DataError, after the last line, naming every line that is not an example."""
    return (row for _, row in read_all([path]))


def read_all(paths: Iterable[Path]) -> Iterator[tuple[Path, Row]]:
    """The rows of several files, each with its file; the first 20 bad lines of them all are told, and the rest counted."""
    bad: list[str] = []
    count = 0
    for path in paths:
        for row in problems(path):
            if isinstance(row, Row):
                yield path, row
            else:
                count += 1
                if count <= SHOWN:
                    bad.append(row)
    if bad:
        raise DataError("\n".join([*bad, *([f"... and {count - SHOWN} more such lines"] if count > SHOWN else [])]))


def write(file: BinaryIO, rows: Iterable[Row]) -> int:
    """Write rows as they were read, byte for byte; how many."""
    count = 0
    for row in rows:
        file.write(row.line + b"\n")
        count += 1
    return count
