"""The first rows of a token file as text, divided into prompt, trained text, and the end mark of a turn."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.data.filters.secret import replace_secrets
from punie_build.models.safetensors import read_header
from punie_build.reports.html import Part

ROWS, MOST_TOKENS = 3, 4096  # rows shown, and tokens of each
BEGIN, END = 300, 900  # characters of a longer text that is only read: its begin, and its end before a trained turn
TRAINED, END_MARK = "ins", "mark"  # elements of the page


class TrainedRow(Struct, frozen=True):
    """A row as text: its line in train.jsonl, its tokens, and parts, each with the element that marks it."""

    line: int
    tokens: int
    trained: int
    parts: tuple[Part, ...]


def trained_rows(folder: Path, base: Path | None) -> tuple[TrainedRow, ...]:
    """Return the first training rows; none if the base, whose tokenizer decodes them, is not on this machine."""
    path = folder / "train.safetensors"
    if base is None or not (base / "tokenizer.json").exists():
        return ()
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception:  # it raises bare ones
        return ()
    ends, lines = read_numbers(path, "ends", "q", ROWS), read_numbers(path, "lines", "i", ROWS)
    ids, mask = (read_numbers(path, name, code, max(ends, default=0)) for name, code in (("ids", "i"), ("learnt", "B")))
    rows = zip(lines, pairwise([0, *ends]), strict=True)
    return tuple(
        TrainedRow(
            line=line,
            tokens=last - first,
            trained=sum(mask[first:last]),
            parts=tuple(_parts(tokenizer, ids[first:last][:MOST_TOKENS], mask[first:last][:MOST_TOKENS])),
        )
        for line, (first, last) in rows
    )


def read_numbers(path: Path, name: str, code: str, count: int | None = None) -> array[int]:
    """Return the first numbers of a tensor in a token file, all without `count`; `code` is their type in an array."""
    begin, end = read_header(path)[name]["data_offsets"]
    numbers = array(code)
    size = end - begin if count is None else min(end - begin, count * numbers.itemsize)
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little") + begin)
        numbers.frombytes(file.read(size))
    return numbers


def _parts(tokenizer: Any, ids: array[int], mask: array[int]) -> Iterator[Part]:
    """Yield runs of equal marks. The last token of a trained run is the end mark, if it is a special token."""
    specials = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    kinds = [TRAINED if flag else "" for flag in mask]
    for index, (kind, following) in enumerate(pairwise([*kinds, ""])):
        if kind and not following and ids[index] in specials:
            kinds[index] = END_MARK
    borders = [0, *(index for index in range(1, len(kinds)) if kinds[index] != kinds[index - 1]), len(kinds)]
    shown = 0
    for first, last in pairwise(borders):
        text = tokenizer.decode(ids[:last].tolist(), skip_special_tokens=False)  # a run alone may lose its blanks
        run, shown = replace_secrets(text[shown:], ("private-key", "token")), len(text)
        yield kinds[first], run if kinds[first] else _shortened(run)


def _shortened(text: str) -> str:
    if len(text) <= BEGIN + END:
        return text
    return f"{text[:BEGIN]}\n[... {len(text) - BEGIN - END:,} more characters ...]\n{text[-END:]}"
