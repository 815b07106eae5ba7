"""Remarks on the filters `where` of a stage: rows that lack the key, which may be spelled otherwise.

They are counted after the filters have run, in the rows that these filters dropped, so that filtering stays fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from punie_build.data import jsonl
from punie_build.data.example import SPLITS
from punie_build.data.filters.union import Filter, Where
from punie_build.data.stats import Stats
from punie_build.data.writer import decode_dropped
from punie_build.errors import did_you_mean
from punie_build.runtime.console import message

MAX_KEYS = 12  # keys of rows that a message names
_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@message
def notes(filters: Sequence[Filter], stats: Stats, out: Path) -> tuple[str, ...]:
    """Return a sentence for each `where` whose key some of its rows, or all of them, lack."""
    sentences = []
    for filter_, reason in zip(filters, stats.reasons, strict=True):
        if not isinstance(filter_, Where):
            continue
        tested = sum(split.filters[reason].rows_in for split in stats.splits.values())
        if filter_.missing == "keep":
            if tested and stats.total.kept and not any(filter_.applies_to(row) for row in _kept(out)):
                sentences.append(_no_row_has(filter_, next(_kept(out)), "is without an effect"))
            continue
        dropped = stats.total.dropped.get(reason, 0)
        absent = [row for row in _dropped(out, reason) if not filter_.applies_to(row)] if dropped else []
        if absent and len(absent) == tested:
            sentences.append(_no_row_has(filter_, absent[0], f"drops all {tested}"))
        elif absent:
            without = f"no {'number' if filter_.is_bounded else 'value'} under '{filter_.key}'"
            lack = f"{len(absent)} of the {dropped} rows it dropped {_have(len(absent))} {without}"
            sentences.append(f'where: {lack} - missing = "keep" keeps them')
    return tuple(sentences)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _no_row_has(filter_: Where, row: bytes, effect: str) -> str:
    """Return a sentence on a key that no row has, with the keys of one row."""
    name = filter_.key.partition(".")[0]
    keys = list(_decode_keys(row))
    if name in keys:
        return f"where: no row has a value under the key '{filter_.key}', so that the filter {effect} - correct `key`"
    known = f"{', '.join(keys[:MAX_KEYS])}{' ...' if len(keys) > MAX_KEYS else ''}"
    hint = did_you_mean(name, keys)
    advice = hint if "did you mean" in hint else " - correct `key`"
    return f"where: no row has the key '{filter_.key}', so that the filter {effect}; keys of the rows: {known}{advice}"


def _dropped(out: Path, reason: str) -> Iterator[bytes]:
    """Yield the rows that a filter dropped."""
    for line in chain.from_iterable(jsonl.read_blocks(out / "dropped.jsonl")):
        row = decode_dropped(line)
        if row.reason == reason:
            yield bytes(row.example)


def _kept(out: Path) -> Iterator[bytes]:
    """Yield the rows that a stage kept."""
    for split in SPLITS:
        yield from chain.from_iterable(jsonl.read_blocks(out / f"{split}.jsonl"))
