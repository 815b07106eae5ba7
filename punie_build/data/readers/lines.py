"""Lines: content cut at line feeds, however the pieces fall."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from punie_build.data.jsonl import LONGEST_LINE
from punie_build.data.readers.record import TOO_LONG, Numbered


def split(content: Iterable[bytes], returns: bool = False) -> Iterator[list[bytes]]:
    """The lines of each piece, without their ends; with `returns`, carriage returns stay. The longest are cut, see `blocks`."""
    rest = b""
    for piece in content:
        if len(rest) > LONGEST_LINE and b"\n" not in piece:
            continue
        lines = piece.split(b"\n")
        lines[0] = rest + lines[0]
        if len(rest) + len(piece) > LONGEST_LINE:
            lines = [line[: LONGEST_LINE + 1] for line in lines]
        rest = lines.pop()
        if not returns and (b"\r" in piece or (lines and lines[0].endswith(b"\r"))):
            lines = [line.rstrip(b"\r") for line in lines]
        if lines:
            yield lines
    if rest:
        yield [rest if returns else rest.rstrip(b"\r")]


def lines_of(path: Path, content: Iterator[bytes]) -> Numbered:
    for number, line in enumerate(chain.from_iterable(split(content)), 1):
        yield number, line if len(line) <= LONGEST_LINE else TOO_LONG
