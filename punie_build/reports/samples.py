"""Looking: into the rows of a data folder, as far as a page needs them: a bounded part of each file is read."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.data.writer import decode_dropped
from punie_build.models.safetensors import header

MOST = 16 * 2**20  # bytes read of a file
SHOWN = 3  # rows shown for each reason


class Row(Struct, frozen=True):
    """A row as it is shown: the side it was on, and who says what."""

    side: str
    turns: tuple[tuple[str, str], ...]


class Lengths(Struct, frozen=True):
    """How long training rows are, each, in `unit`; `rows` of how many there are (`of`) were looked at."""

    unit: str
    rows: tuple[int, ...]
    of: int


def turns(example: Example) -> tuple[tuple[str, str], ...]:
    """Who says what, calls as `name(arguments)`."""
    said = []
    for message in example.messages:
        calls = [f"{call.function.name}({_arguments(call.function.arguments)})" for call in message.tool_calls or ()]
        said.append((message.role, "\n".join([*([message.content] if message.content else []), *calls])))
    return tuple(said)


def _arguments(value: str | dict[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lines(path: Path) -> Iterator[bytes]:
    """The whole lines in the first `MOST` bytes of a file."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file.readlines(MOST) if line.strip())


def kept(folder: Path) -> tuple[Row, ...]:
    """The first rows of each side."""
    found = []
    for side in SPLITS:
        for number, line in enumerate(lines(folder / f"{side}.jsonl")):
            if number == (SHOWN if side == "train" else 1):
                break
            found.append(Row(side, turns(decode_example(line))))
    return tuple(found)


def dropped(folder: Path) -> dict[str, tuple[Row, ...]]:
    """The first rows that each reason took."""
    found: dict[str, list[Row]] = {}
    for line in lines(folder / "dropped.jsonl"):
        row = decode_dropped(line)
        some = found.setdefault(row.reason, [])
        if len(some) < SHOWN:
            shown = turns(decode_example(row.example)) if row.line is None else ((row.why or "", row.line),)
            some.append(Row(row.split, shown))
    return {reason: tuple(rows) for reason, rows in found.items()}


def letters(folder: Path, rows: int) -> Lengths:
    """The letters said and called in each training row."""
    found = tuple(sum(len(text) for _, text in turns(decode_example(line))) for line in lines(folder / "train.jsonl"))
    return Lengths("letters", found, rows)


def tokens(folder: Path) -> Lengths:
    """The tokens of each training row, from the ends of rows in a token file."""
    path = folder / "train.safetensors"
    place = header(path)["ends"]["data_offsets"]
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        file.seek(start + place[0])
        ends = array("q", file.read(place[1] - place[0]))
    found = tuple(end - (ends[index - 1] if index else 0) for index, end in enumerate(ends))
    return Lengths("tokens", found, len(found))
