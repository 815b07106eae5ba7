"""The common prefixes of rows: which rows begin alike, and with how many tokens.

Rows with the same system prompt and tools begin with the same tokens, hundreds or thousands of them. The batch sampler
puts such rows into one batch, and the training loop computes their prefix once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from punie_build.training.batch_sampler import BatchSampler
from punie_build.training.token_file import NumpyArray, TokenRows

MIN_SHARED = 64  # tokens: the second pass of a batch costs more than a shorter prefix saves (benchmarks/training.py)
MOST_COMPUTED = 0.85  # of the tokens of "bucket": above, the second passes cost what they save (docs/log.md)
SAMPLE = 2048  # rows
STEP = 32  # tokens that a group must share in addition to become a group of its own


def shares_enough(rows: TokenRows, size: int) -> bool:
    """Return whether batches of `size` rows that begin alike leave few enough of their tokens to compute.

    Judges by some of the rows, spread over the file, if there are many.
    """
    some = rows.sample(SAMPLE)
    lengths = some.input_lengths
    samplers = (
        BatchSampler(batching="prefix", batch_size=size, prefixes=PrefixIndex(some, size)),
        BatchSampler(batching="bucket", batch_size=size),
    )
    shared, plain = (sum(each.computed(batch, lengths) for batch in each.epoch(lengths, 0)) for each in samplers)
    return shared <= MOST_COMPUTED * plain


class PrefixIndex:
    """The rows of a split in lexicographic order, with the prefix that each shares with the next.

    A prefix ends before the input of the first trained target of a row. `groups` are the rows in groups that share as
    much as possible, of at least `size` rows each; the last group has the rows that share too little.
    """

    def __init__(self, rows: TokenRows, size: int) -> None:
        ids = [rows.row(index)[0] for index in range(len(rows))]
        order = sorted(range(len(ids)), key=lambda index: ids[index].astype(">u4").tobytes())
        self.order: NumpyArray = np.array(order, np.int64)
        self.rank: NumpyArray = np.argsort(self.order)
        self.limits: NumpyArray = np.array([longest_prefix(rows.row(index)[1]) for index in range(len(rows))], np.int64)
        self.next: NumpyArray = np.array([common(ids[a], ids[b]) for a, b in pairwise(order)], int)
        self.groups = self._groups(size)
        self.group_of: dict[int, int] = {row: number for number, group in enumerate(self.groups) for row in group}

    def shared(self, rows: Sequence[int]) -> int:
        """Return the number of tokens to compute once for these rows, 0 where too few are shared."""
        if len(rows) < 2:
            return 0
        ranks, limit = self.rank[rows], int(self.limits[rows].min())
        shared = min(int(self.next[ranks.min() : ranks.max()].min()), limit)
        return shared if shared >= MIN_SHARED else 0

    def _groups(self, size: int) -> list[list[int]]:
        """Divide the order at its shortest common prefixes, as long as a part of `size` rows gains `STEP` tokens."""
        groups: list[list[int]] = []
        others: list[int] = []
        ranges = [(0, len(self.order))]
        while ranges:
            start, end = ranges.pop()
            between = self.next[start : end - 1]
            cuts = np.flatnonzero(between < between.min() + STEP) + 1 if len(between) else between
            borders = [start, *(start + cuts).tolist(), end]
            parts = list(pairwise(borders))
            larger = [part for part in parts if part[1] - part[0] >= size and len(parts) > 1]
            rows = [int(row) for part in parts if part not in larger for row in self.order[slice(*part)]]
            is_group = len(rows) >= size and len(between) > 0 and between.min() >= MIN_SHARED
            ranges += larger
            groups += [sorted(rows)] if is_group else []
            others += [] if is_group else rows
        return [*sorted(groups), sorted(others)]


def longest_prefix(loss_mask: NumpyArray) -> int:
    """Return the number of tokens before the input of the first trained target; at least one input remains."""
    trained = np.flatnonzero(loss_mask[1:])
    return int(trained[0]) if len(trained) else max(0, len(loss_mask) - 2)


def common(first: NumpyArray, second: NumpyArray) -> int:
    """Return the length of the common prefix of two rows in tokens."""
    length = min(len(first), len(second))
    differences = np.flatnonzero(first[:length] != second[:length])
    return int(differences[0]) if len(differences) else length
