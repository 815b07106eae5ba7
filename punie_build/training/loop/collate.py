"""Collate rows of token ids to the arrays of a batch."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np

from punie_build.training.batch_sampler import BatchRows, padded_length
from punie_build.training.token_file import TokenRows


class Batch(NamedTuple):
    """The arrays of a batch.

    `inputs` (sequences, length) are token ids; `segments` of the same shape number the row of each token, from 1. For
    the trained tokens, `positions` (trained,) are their indices into the flattened inputs, `targets` (trained,) the
    ids to predict, and `weights` (trained,) 1, or 0 where the arrays are padded. `prefix` (1, tokens) are token ids
    before all inputs, if the rows share a prefix.

    A pair of answers is two sequences, the wanted one first. Of pairs, `pair_weights` (pairs,) are 1, or 0 as above,
    and `reference` (pairs, 2) the log-probabilities of both answers in nats, if the loss needs them.
    """

    inputs: mx.array
    segments: mx.array
    positions: mx.array
    targets: mx.array
    weights: mx.array
    prefix: mx.array | None = None
    pair_weights: mx.array | None = None
    reference: mx.array | None = None

    @property
    def units(self) -> mx.array:
        """The number of trained tokens or, where they are compared, of pairs: the loss is a mean over these."""
        return (self.weights if self.pair_weights is None else self.pair_weights).sum()


def collate(rows: TokenRows, batch: BatchRows, rank: int = 0, ranks: int = 1, shared: int = 0) -> Batch:
    """Return this rank's share of a batch, whose rows have their first `shared` tokens in common.

    A rank without rows computes a copy of another rank's batch with loss weight 0, so that collectives stay in step.
    """
    own = batch[rank::ranks]
    if rows.rejected is None:
        sequences = [[rows.row(row) for row in sequence] for sequence in own or batch[:1]]
    else:
        sequences = [[text] for [row] in own or batch[:1] for text in rows.texts(row)]
    prefix = mx.array(sequences[0][0][0][:shared][None].astype(np.int32)) if shared else None
    if shared:
        sequences = [[(ids[shared:], mask[shared:]) for ids, mask in sequence] for sequence in sequences]
    length = padded_length(max(sum(len(ids) - 1 for ids, _ in sequence) for sequence in sequences))
    inputs, targets, loss_mask, segments = (np.zeros((len(sequences), length), np.int32) for _ in range(4))
    for index, sequence in enumerate(sequences):
        end = 0
        for number, (ids, mask) in enumerate(sequence, 1):
            span = slice(end, end := end + len(ids) - 1)
            inputs[index, span], targets[index, span], segments[index, span] = ids[:-1], ids[1:], number
            loss_mask[index, span] = mask[1:]
    trained = np.flatnonzero(loss_mask)
    positions = np.zeros(padded_length(max(1, len(trained))), np.int32)
    positions[: len(trained)] = trained
    weights = (np.arange(len(positions)) < (len(trained) if own else 0)).astype(np.float32)
    arrays = map(mx.array, (inputs, segments, positions, targets.reshape(-1)[positions], weights))
    result = Batch(*arrays)._replace(prefix=prefix)
    if rows.rejected is None:
        return result
    pairs = [row for [row] in own or batch[:1]]
    reference = None if rows.reference is None else mx.array(rows.reference[pairs])
    return result._replace(pair_weights=mx.full(len(pairs), float(bool(own))), reference=reference)
