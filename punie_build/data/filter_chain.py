"""Run the transforms of a stage, then its filters in order, over the rows of its source.

Filters that test one row at a time run while the rows stream by, in constant memory. A DatasetFilter needs every row
that the filters before it keep, so the source is read once more for each of them; one byte for each row is kept in
memory.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from msgspec import Struct, ValidationError

from punie_build.data import jsonl
from punie_build.data.example import SPLITS, Example, decode_example, decode_plain_example
from punie_build.data.filters import score_cache
from punie_build.data.filters.union import (
    AnyFilter,
    DatasetFilter,
    Filter,
    FilterContext,
    LineFilter,
    Predicate,
    ScoredFilter,
)
from punie_build.data.jsonl import ByteRange
from punie_build.data.readers.record import display_path
from punie_build.data.transform import transform_line
from punie_build.data.transforms import AnyTransform
from punie_build.errors import DataError

PASSED = (
    255  # a row's outcome is one byte: the index of the filter that rejects it, or this; `Stage` allows 200 filters
)

MAX_RARE = 8  # rows of a block with rare keys, after which all are decoded with them
IndexedPredicates = list[tuple[int, Callable[..., bool], bool]]  # (index of the filter, its predicate, takes lines)


class FilteredBlock(Struct):
    """A block of rows after the chain: kept lines and their counts, dropped lines with the index of their filter."""

    kept: list[bytes]
    messages: int
    categories: dict[str, int]
    dropped: list[tuple[int, bytes]]
    changed: int = 0


class FilterChain:
    """The transforms and filters of one stage, for one pass over its source."""

    def __init__(
        self, transforms: Sequence[AnyTransform], filters: Sequence[AnyFilter], context: FilterContext
    ) -> None:
        self.filters, self.context = tuple(filters), context
        self.transforms = tuple(transform.bind(context) for transform in transforms)
        self.reasons = tuple(reason_names(filters))
        self.source = Path()
        self.on_finish: list[Callable[[], None]] = []
        self.dataset_filters = [index for index, filter_ in enumerate(filters) if isinstance(filter_, DatasetFilter)]

    def run(self, source: Path, byte_ranges: Iterable[ByteRange] | None = None) -> Iterator[tuple[str, FilteredBlock]]:
        """Yield (split, filtered block) in the order of the files.

        `byte_ranges` restricts the run to parts of the files; a chain with a DatasetFilter needs all rows and allows
        none.
        """
        assert byte_ranges is None or not self.dataset_filters
        self.source = source
        outcomes = self._outcomes(source) if self.dataset_filters else None
        self.take_counts()  # of the passes for outcomes
        predicates = self._predicates(0, len(self.filters)) if outcomes is None else []
        start_row = 0
        for split, start, end in byte_ranges or jsonl.byte_ranges(source, sys.maxsize):
            for block in jsonl.read_blocks(source / f"{split}.jsonl", start, end):
                lines, changed = self._transform(block)
                if outcomes is None:
                    filtered = _filter_lines(lines, predicates)
                else:
                    filtered = _select_lines(lines, outcomes[start_row : start_row + len(lines)])
                    start_row += len(lines)
                filtered.changed = changed
                yield split, filtered
        for finish in self.on_finish:
            finish()

    def take_counts(self) -> dict[str, int]:
        """Return the counts of the transforms since the last call."""
        counts: Counter[str] = Counter()
        for transform in self.transforms:
            counts += transform.counts
            transform.counts.clear()
        return dict(counts)

    def _predicates(self, start: int, end: int) -> IndexedPredicates:
        predicates: IndexedPredicates = []
        for index in range(start, end):
            filter_ = self.filters[index]
            if isinstance(filter_, LineFilter):
                predicates.append((index, filter_.line_predicate(self.context), True))
            else:
                predicates.append((index, self._predicate(filter_), False))
        return predicates

    def _predicate(self, filter_: Filter) -> Predicate:
        if self.context.score_cache is None or not isinstance(filter_, ScoredFilter):
            return filter_.predicate(self.context)
        predicate, flush = score_cache.cached_predicate(filter_, self.context, self.context.score_cache)
        self.on_finish.append(flush)
        return predicate

    def _outcomes(self, source: Path) -> bytearray:
        """Return one byte for each row: the index of the first filter that rejects it, or PASSED."""
        outcomes = bytearray([PASSED]) * sum(_count_rows(source / f"{split}.jsonl") for split in SPLITS)
        start = 0
        for index in [*self.dataset_filters, len(self.filters)]:
            rows: list[int] = []
            stream = self._passing(source, outcomes, self._predicates(start, index), rows)
            dataset_filter = self.filters[index] if index < len(self.filters) else None
            if isinstance(dataset_filter, DatasetFilter):
                for position in list(dataset_filter.drops(stream, self.context)):
                    outcomes[rows[position]] = index
            for _ in stream:  # the rows that the filter did not consume still need their outcomes
                pass
            start = index + 1
        return outcomes

    def _passing(
        self, source: Path, outcomes: bytearray, predicates: IndexedPredicates, rows: list[int]
    ) -> Iterator[Example]:
        """Yield the examples that pass these predicates, and append the row number of each to `rows`."""
        row = -1
        for split in SPLITS:
            for lines in jsonl.read_blocks(source / f"{split}.jsonl"):
                for line in self._transform(lines)[0]:
                    row += 1
                    if outcomes[row] == PASSED:
                        example = decode_example(line)
                        outcome = next(
                            (
                                index
                                for index, passes, by_line in predicates
                                if not (passes(line, example) if by_line else passes(example))
                            ),
                            PASSED,
                        )
                        outcomes[row] = outcome
                        if outcome == PASSED:
                            rows.append(row)
                            yield example

    def _transform(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        """Return the lines after the transforms, and the number of lines that changed; the others keep their bytes."""
        if not self.transforms:
            return lines, 0
        transformed, changed = [], 0
        for line in lines:
            try:
                transformed.append(transform_line(line, self.transforms))
            except ValueError as error:
                raise DataError(f"{self._place(line)}: cannot be rewritten: {error} - correct the row") from None
            changed += transformed[-1] is not line
        return transformed, changed

    def _place(self, line: bytes) -> str:
        """Return file and number of a line of the source, for messages."""
        for split in SPLITS:
            lines = chain.from_iterable(jsonl.read_blocks(self.source / f"{split}.jsonl"))
            for number, other in enumerate(lines, 1):
                if other == line:
                    return f"{display_path(self.source)}/{split}.jsonl:{number}"
        return str(display_path(self.source))


def _filter_lines(lines: list[bytes], predicates: IndexedPredicates) -> FilteredBlock:
    """Test each line with the predicates. This is the inner loop of every stage."""
    kept: list[bytes] = []
    dropped: list[tuple[int, bytes]] = []
    categories: list[str] = []
    messages = 0
    keep, categorize = kept.append, categories.append
    decode: Callable[[bytes], Example] = decode_plain_example
    rare = 0
    tests = [(index, passes) for index, passes, _ in predicates]
    takes_line = {index for index, _, by_line in predicates if by_line} or None
    for line in lines:
        try:
            example = decode(line)
        except ValidationError:
            example, rare = decode_example(line), rare + 1
            decode = decode if rare < MAX_RARE else decode_example
        for index, passes in tests:
            if not (passes(line, example) if takes_line is not None and index in takes_line else passes(example)):
                dropped.append((index, line))
                break
        else:
            keep(line)
            messages += len(example.messages)
            if category := example.category:
                categorize(category)
    return FilteredBlock(kept, messages, Counter(categories), dropped)


def _select_lines(lines: list[bytes], outcomes: bytearray) -> FilteredBlock:
    """Divide lines by outcomes that are already known."""
    block = _filter_lines([line for line, outcome in zip(lines, outcomes, strict=True) if outcome == PASSED], [])
    block.dropped = [(outcome, line) for line, outcome in zip(lines, outcomes, strict=True) if outcome != PASSED]
    return block


def _count_rows(path: Path) -> int:
    return sum(len(lines) for lines in jsonl.read_blocks(path))


def reason_names(filters: Sequence[Filter]) -> list[str]:
    """Return the reason that each filter writes beside the rows it drops: its tag, numbered if the tag occurs twice."""
    tags = [str(filter_.__struct_config__.tag) for filter_ in filters]
    return [tag if tags.count(tag) == 1 else f"{tag} {tags[: index + 1].count(tag)}" for index, tag in enumerate(tags)]
