"""Sifting: the chain of a stage - maps first, then filters - over the rows of its source.

Row filters are asked while the rows stream by, in constant memory. A whole filter needs to see every row that those before
it keep, so the source is read once more for each, and what is remembered between is one byte a row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.data import jsonl
from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.data.filters import score_cache
from punie_build.data.filters.union import (
    AnyFilter,
    Context,
    Filter,
    Predicate,
    Scored,
    Whole,
)
from punie_build.data.jsonl import ByteRange
from punie_build.data.transforms import AnyMap, rewritten
from punie_build.errors import DataError

KEPT = 255  # a verdict: the place of the filter that objects, or this
MOST = 200  # filters in a chain, so that a verdict is a byte


Tests = list[tuple[int, Predicate]]  # (place of the filter, what keeps a row)


class Sifted(Struct):
    """A block after the chain: the lines that are kept, what is known of them, and the others with the place of their filter."""

    kept: list[bytes]
    messages: int
    categories: dict[str, int]
    dropped: list[tuple[int, bytes]]
    changed: int = 0


class Chain:
    """The maps and filters of one stage, ready for one pass over its source."""

    def __init__(self, maps: Sequence[AnyMap], filters: Sequence[AnyFilter], context: Context) -> None:
        self.maps, self.filters, self.context = tuple(maps), tuple(filters), context
        self.reasons = tuple(names(filters))
        self.finish: list[Callable[[], None]] = []
        self.wholes = [place for place, filter_ in enumerate(filters) if isinstance(filter_, Whole)]

    def sift(self, source: Path, pieces: Iterable[ByteRange] | None = None) -> Iterator[tuple[str, Sifted]]:
        """(split, a block of its rows, sifted), in the order of the files. A chain without whole filters may sift `pieces` of
        them."""
        assert pieces is None or not self.wholes
        verdicts = self._verdicts(source) if self.wholes else None
        tests = self._tests(0, len(self.filters)) if verdicts is None else []
        at = 0
        for split, start, end in pieces or jsonl.byte_ranges(source, sys.maxsize):
            for block in jsonl.read_blocks(source / f"{split}.jsonl", start, end):
                lines, changed = self._mapped(block)
                if verdicts is None:
                    sifted = _asked(lines, tests)
                else:
                    sifted = _decided(lines, verdicts[at : at + len(lines)])
                    at += len(lines)
                sifted.changed = changed
                yield split, sifted
        for finish in self.finish:
            finish()

    def _tests(self, start: int, end: int) -> Tests:
        return [(place, self._test(self.filters[place])) for place in range(start, end)]

    def _test(self, filter_: Filter) -> Predicate:
        if self.context.memo is None or not isinstance(filter_, Scored):
            return filter_.predicate(self.context)
        keep, finish = score_cache.remembering(filter_, self.context, self.context.memo)
        self.finish.append(finish)
        return keep

    def _verdicts(self, source: Path) -> bytearray:
        """A byte for each row: which filter objects first."""
        verdicts = bytearray(b"\xff") * sum(_count(source / f"{split}.jsonl") for split in SPLITS)
        start = 0
        for place in [*self.wholes, len(self.filters)]:
            tests = self._tests(start, place)
            rows: list[int] = []
            stream = self._kept(source, verdicts, tests, rows)
            whole = self.filters[place] if place < len(self.filters) else None
            if isinstance(whole, Whole):
                for position in list(whole.drops(stream, self.context)):
                    verdicts[rows[position]] = place
            for _ in stream:  # what the filter did not ask for is judged all the same
                pass
            start = place + 1
        return verdicts

    def _kept(self, source: Path, verdicts: bytearray, tests: Tests, rows: list[int]) -> Iterator[Example]:
        """The examples that are still kept after these tests; `rows` grows by the row number of each."""
        at = -1
        for split in SPLITS:
            for lines in jsonl.read_blocks(source / f"{split}.jsonl"):
                for line in self._mapped(lines)[0]:
                    at += 1
                    if verdicts[at] == KEPT:
                        example = decode_example(line)
                        objects = next((place for place, keep in tests if not keep(example)), KEPT)
                        verdicts[at] = objects
                        if objects == KEPT:
                            rows.append(at)
                            yield example

    def _mapped(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        """The lines after the maps, and how many they changed: only those are written anew."""
        if not self.maps:
            return lines, 0
        out, changed = [], 0
        for line in lines:
            try:
                out.append(rewritten(line, self.maps))
            except ValueError as error:
                raise DataError(f"the row that begins {line[:60]!r}: cannot be rewritten: {error} - mend it") from None
            changed += out[-1] is not line
        return out, changed


def _asked(lines: list[bytes], tests: Tests) -> Sifted:
    """The tight loop: every row of every stage passes here."""
    kept: list[bytes] = []
    dropped: list[tuple[int, bytes]] = []
    categories: dict[str, int] = {}
    messages = 0
    for line in lines:
        example = decode_example(line)
        for place, keep in tests:
            if not keep(example):
                dropped.append((place, line))
                break
        else:
            kept.append(line)
            messages += len(example.messages)
            if category := example.category:
                categories[category] = categories.get(category, 0) + 1
    return Sifted(kept, messages, categories, dropped)


def _decided(lines: Iterable[bytes], verdicts: bytearray) -> Sifted:
    kept = [line for line, verdict in zip(lines, verdicts, strict=True) if verdict == KEPT]
    sifted = _asked(kept, [])
    sifted.dropped = [(verdict, line) for line, verdict in zip(lines, verdicts, strict=True) if verdict != KEPT]
    return sifted


def _count(path: Path) -> int:
    return sum(len(lines) for lines in jsonl.read_blocks(path))


def names(filters: Sequence[Filter]) -> list[str]:
    """What each filter's drops are called: its type, numbered where one occurs again."""
    tags = [str(filter_.__struct_config__.tag) for filter_ in filters]
    return [tag if tags.count(tag) == 1 else f"{tag} {tags[: index + 1].count(tag)}" for index, tag in enumerate(tags)]
