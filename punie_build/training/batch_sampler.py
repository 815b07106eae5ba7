"""Batching: which rows are computed together, and in what order. Pure, and decided by the seed and the epoch alone.

    bucket   `batch_size` rows of like length, so that little is padded
    tokens   as many rows of like length as fit into `batch_tokens`, with their padding: less memory, fewer steps
    pack     rows behind one another in a sequence of `batch_tokens`, each blind to the others: next to no padding
    file     `batch_size` rows as they stand in the file

A batch is a list of sequences, a sequence a list of rows; only `pack` puts more than one row into a sequence. No row is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Literal

from msgspec import Struct

Batching = Literal["bucket", "tokens", "pack", "file"]
Batch = list[list[int]]
PAD_TO = 32  # lengths are padded to multiples of this: few shapes, and products of even sizes
WINDOW = 64  # batches whose rows are sorted together: sorting all would make every epoch alike


class Order(Struct, frozen=True, kw_only=True):
    """How rows become batches. `tokens` bounds a batch where rows are counted by tokens."""

    how: Batching = "bucket"
    rows: int = 4
    tokens: int = 2048
    seed: int = 0

    def epoch(self, lengths: Sequence[int], epoch: int) -> list[Batch]:
        """Every row once. `lengths` are those of the rows, in tokens."""
        if self.how == "file":
            return [[[row] for row in some] for some in _cut(range(len(lengths)), self.rows)]
        chance = Random(f"{self.seed}:{epoch}")
        order = list(range(len(lengths)))
        chance.shuffle(order)
        fill = {"bucket": self._bucket, "tokens": self._tokens, "pack": self._pack}[self.how]
        batches = fill(order, lengths)
        chance.shuffle(batches)
        return batches

    def forever(self, lengths: Sequence[int], skip: int = 0) -> Iterator[Batch]:
        """The batches of all epochs, without the first `skip`."""
        for epoch in count():
            batches = self.epoch(lengths, epoch)
            yield from batches[skip:]
            skip = max(0, skip - len(batches))

    def _bucket(self, order: list[int], lengths: Sequence[int]) -> list[Batch]:
        windows = _cut(order, WINDOW * self.rows)
        return [
            [[row] for row in some]
            for window in windows
            for some in _cut(sorted(window, key=lengths.__getitem__), self.rows)
        ]

    def _tokens(self, order: list[int], lengths: Sequence[int]) -> list[Batch]:
        batches: list[Batch] = []
        for window in _cut(order, WINDOW * self.rows):
            batch: Batch = []
            for row in sorted(window, key=lengths.__getitem__):
                if batch and (len(batch) + 1) * padded(lengths[row]) > self.tokens:
                    batches.append(batch)
                    batch = []
                batch.append([row])
            batches.append(batch)
        return batches

    def _pack(self, order: list[int], lengths: Sequence[int]) -> list[Batch]:
        """First fit, the longest first, within windows."""
        batches: list[Batch] = []
        for window in _cut(order, WINDOW * self.rows):
            free: list[int] = []
            packs: list[list[int]] = []
            for row in sorted(window, key=lengths.__getitem__, reverse=True):
                place = next((place for place, room in enumerate(free) if room >= lengths[row]), None)
                if place is None:
                    place = len(packs)
                    packs.append([])
                    free.append(max(self.tokens, lengths[row]))
                packs[place].append(row)
                free[place] -= lengths[row]
            batches += [[pack] for pack in packs]
        return batches


def padded(length: int) -> int:
    """The length that is computed."""
    return -(-length // PAD_TO) * PAD_TO


def _cut(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class Coverage(Struct, frozen=True, kw_only=True):
    """What a training sees: `iters` batches, `updates` of the weights, `epochs`, `tokens` read, the share of `padding` among what
    is computed."""

    iters: int
    updates: int
    epochs: float
    tokens: int
    padding: float

    def __str__(self) -> str:
        return (
            f"{self.iters} batches, {self.updates} updates, {self.epochs:.2f} epochs, {self.tokens:,} tokens "
            f"({self.padding:.0%} padding)"
        )


def coverage(
    order: Order, lengths: Sequence[int], accumulation: int, enough: Callable[[int, float, int], bool]
) -> Coverage:
    """What is seen until `enough(batches, epochs, tokens)`. It is walked through: lengths decide how many batches there are."""
    iters = tokens = computed = rows = 0
    for batch in order.forever(lengths):
        if enough(iters, rows / len(lengths), tokens):
            break
        sizes = [sum(lengths[row] for row in sequence) for sequence in batch]
        iters, tokens, rows = iters + 1, tokens + sum(sizes), rows + sum(map(len, batch))
        computed += len(batch) * padded(max(sizes))
    return Coverage(
        iters=iters,
        updates=-(-iters // accumulation),
        epochs=rows / len(lengths),
        tokens=tokens,
        padding=1 - tokens / computed if computed else 0.0,
    )
