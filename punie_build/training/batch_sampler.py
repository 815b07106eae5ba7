"""The batch sampler: which rows are computed together, and in which order.

    bucket   `batch_size` rows of similar length, which needs little padding
    tokens   as many rows of similar length as fit into `batch_tokens` with their padding: less memory, fewer steps
    pack     rows concatenated to sequences of `batch_tokens`, each attending to itself only: almost no padding
    prefix   `batch_size` rows that begin alike, and are of similar length: their prefix is computed once
    file     `batch_size` rows in the order of the file
    auto     prefix where that leaves clearly fewer tokens to compute (`prefix_index.py`), otherwise bucket

A batch is a list of sequences, and a sequence is a list of row numbers; only `pack` puts several rows into one
sequence. No row is dropped. The order depends on the seed and the epoch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:  # needs numpy, which reading a recipe does not
    from punie_build.training.prefix_index import PrefixIndex

Batching = Literal["auto", "bucket", "tokens", "pack", "prefix", "file"]
BY_ROWS = ("auto", "bucket", "prefix", "file")  # batches of `batch_size` rows
BatchRows = list[list[int]]
PAD_TO = 32  # lengths are padded to multiples of this: few shapes, and matrix products of even sizes
WINDOW = 64  # batches whose rows are sorted together: sorting all rows would make all epochs alike


class BatchSampler(Struct, frozen=True, kw_only=True):
    """A batch sampler. `batch_tokens` bounds a batch of "tokens" and a sequence of "pack", `batch_size` counts rows.

    `prefixes` are those of the rows, for "prefix". `text_lengths` are those of the longer text of each row, if rows are
    pairs of texts.
    """

    batching: Batching = "bucket"
    batch_size: int = 4
    batch_tokens: int = 2048
    seed: int = 0
    prefixes: PrefixIndex | None = None
    text_lengths: Sequence[int] | None = None

    def epoch(self, lengths: Sequence[int], epoch: int) -> list[BatchRows]:
        """Return the batches of one epoch, which hold every row once. `lengths` are those of the rows in tokens."""
        if self.batching == "file":
            return [[[row] for row in rows] for rows in _chunks(range(len(lengths)), self.batch_size)]
        random = Random(f"{self.seed}:{epoch}")
        order = list(range(len(lengths)))
        random.shuffle(order)
        fill = {"bucket": self._bucket, "tokens": self._tokens, "pack": self._pack, "prefix": self._prefix}[
            self.batching
        ]
        batches = fill(order, lengths)
        random.shuffle(batches)
        return batches

    def iterate(self, lengths: Sequence[int], skip: int = 0) -> Iterator[BatchRows]:
        """Yield the batches of all epochs without end, except the first `skip`."""
        for epoch in count():
            batches = self.epoch(lengths, epoch)
            yield from batches[skip:]
            skip = max(0, skip - len(batches))

    def _bucket(self, order: list[int], lengths: Sequence[int]) -> list[BatchRows]:
        windows = _chunks(order, WINDOW * self.batch_size)
        return [
            [[row] for row in rows]
            for window in windows
            for rows in _chunks(sorted(window, key=lengths.__getitem__), self.batch_size)
        ]

    def _prefix(self, order: list[int], lengths: Sequence[int]) -> list[BatchRows]:
        """Fill batches within each group of rows that begin alike; the remainders of groups share batches."""
        assert self.prefixes is not None
        position = {row: index for index, row in enumerate(order)}
        *groups, others = self.prefixes.groups
        batches, remainder = self._bucket(sorted(others, key=position.__getitem__), lengths), []
        for group in groups:
            rows = sorted(group, key=position.__getitem__)
            filled = len(rows) - len(rows) % self.batch_size
            batches += self._bucket(rows[:filled], lengths)
            remainder += rows[filled:]
        return batches + [[[row] for row in rows] for rows in _chunks(remainder, self.batch_size)]

    def shared(self, batch: BatchRows) -> int:
        """Return the number of tokens at the start of a batch's rows that are computed once."""
        return self.prefixes.shared([row for [row] in batch]) if self.prefixes else 0

    def computed(self, batch: BatchRows, lengths: Sequence[int]) -> int:
        """Return the number of tokens that are computed for a batch, padding included."""
        if self.text_lengths is not None:
            return 2 * len(batch) * padded_length(max(self.text_lengths[row] for [row] in batch))
        shared = self.shared(batch)
        longest = max(sum(lengths[row] for row in sequence) for sequence in batch)
        return shared + len(batch) * padded_length(longest - shared)

    def _tokens(self, order: list[int], lengths: Sequence[int]) -> list[BatchRows]:
        batches: list[BatchRows] = []
        for window in _chunks(order, WINDOW * self.batch_size):
            batch: BatchRows = []
            for row in sorted(window, key=lengths.__getitem__):
                if batch and (len(batch) + 1) * padded_length(lengths[row]) > self.batch_tokens:
                    batches.append(batch)
                    batch = []
                batch.append([row])
            batches.append(batch)
        return batches

    def _pack(self, order: list[int], lengths: Sequence[int]) -> list[BatchRows]:
        """Fill sequences by first-fit decreasing within each window."""
        batches: list[BatchRows] = []
        for window in _chunks(order, WINDOW * self.batch_size):
            free: list[int] = []
            sequences: list[list[int]] = []
            for row in sorted(window, key=lengths.__getitem__, reverse=True):
                index = next((index for index, room in enumerate(free) if room >= lengths[row]), None)
                if index is None:
                    index = len(sequences)
                    sequences.append([])
                    free.append(max(self.batch_tokens, lengths[row]))
                sequences[index].append(row)
                free[index] -= lengths[row]
            batches += [[sequence] for sequence in sequences]
        return batches


def padded_length(length: int) -> int:
    """Return a length rounded up to a multiple of `PAD_TO`."""
    return -(-length // PAD_TO) * PAD_TO


def _chunks(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class Coverage(Struct, frozen=True, kw_only=True):
    """The part of the data that a training reads.

    `iters` batches, `updates` of the weights, `epochs`, `tokens`, and `padding` as a share of all computed tokens.
    `shared` tokens of common prefixes are not computed, because another row of their batch has them.
    """

    iters: int
    updates: int
    epochs: float
    tokens: int
    padding: float
    shared: int = 0

    def __str__(self) -> str:
        shared = f", {self.shared / self.tokens:.0%} of them computed with another row" if self.shared else ""
        return (
            f"{self.iters} batches, {self.updates} updates, {self.epochs:.2f} epochs, {self.tokens:,} tokens "
            f"({self.padding:.0%} padding{shared})"
        )

    @property
    def computed(self) -> float:
        """The number of computed tokens, padding included."""
        return (self.tokens - self.shared) / (1 - self.padding)


def coverage(
    sampler: BatchSampler,
    lengths: Sequence[int],
    grad_accumulation_steps: int,
    is_enough: Callable[[int, float, int], bool],
) -> Coverage:
    """Return the coverage of a training that ends as soon as `is_enough(batches, epochs, tokens)`.

    Walks through the batches, because their number depends on the lengths of the rows.
    """
    iters = tokens = computed = rows = all_shared = 0
    for batch in sampler.iterate(lengths):
        if is_enough(iters, rows / len(lengths), tokens):
            break
        iters, rows = iters + 1, rows + sum(map(len, batch))
        tokens += sum(lengths[row] for sequence in batch for row in sequence)
        computed += sampler.computed(batch, lengths)
        all_shared += sampler.shared(batch) * (len(batch) - 1)
    return Coverage(
        iters=iters,
        updates=-(-iters // grad_accumulation_steps),
        epochs=rows / len(lengths),
        tokens=tokens,
        padding=1 - (tokens - all_shared) / computed if computed else 0.0,
        shared=all_shared,
    )
