"""Feeding: from rows of token ids to the arrays of a batch. Imported by the trainer."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np

from punie_build.training.batch_sampler import Batch, padded
from punie_build.training.token_file import Rows


class Fed(NamedTuple):
    """A batch: `inputs` (sequences, length); `segments` of the same shape, which row a token is of, counted from 1; and of the
    tokens to learn `places` (learnt,) in the flattened inputs, `targets` (learnt,), and `weights` (learnt,), 0 where it is padding."""

    inputs: mx.array
    segments: mx.array
    places: mx.array
    targets: mx.array
    weights: mx.array


def feed(rows: Rows, batch: Batch, rank: int = 0, ranks: int = 1) -> Fed:
    """A rank's share of a batch. A rank without a share computes another's, and it counts for nothing."""
    mine = batch[rank::ranks]
    shares = mine or batch[:1]
    found = [[rows.row(row) for row in sequence] for sequence in shares]
    length = padded(max(sum(len(ids) - 1 for ids, _ in sequence) for sequence in found))
    inputs, targets, learnt, segments = (np.zeros((len(shares), length), np.int32) for _ in range(4))
    for place, sequence in enumerate(found):
        at = 0
        for number, (ids, marks) in enumerate(sequence, 1):
            span = slice(at, at := at + len(ids) - 1)
            inputs[place, span], targets[place, span], segments[place, span] = ids[:-1], ids[1:], number
            learnt[place, span] = marks[1:]
    places = np.flatnonzero(learnt)
    kept = np.zeros(padded(max(1, len(places))), np.int32)
    kept[: len(places)] = places
    weights = (np.arange(len(kept)) < (len(places) if mine else 0)).astype(np.float32)
    return Fed(*map(mx.array, (inputs, segments, kept, targets.reshape(-1)[kept], weights)))
