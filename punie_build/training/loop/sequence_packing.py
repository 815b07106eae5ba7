"""Sequence packing: several rows in one sequence, each attending to itself only.

The models of mlx-lm take their attention mask from the cache that they are passed. A cache that stores no keys and
values, and answers with a block-diagonal mask, therefore packs any of them without a change to their code. Positions
count on through a sequence, which makes no difference to relative embeddings. `problem` tests a model before packing is
used.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from punie_build.training.loop import gradient_trial
from punie_build.training.token_file import TokenRows


class BlockDiagonalMask:
    """A cache of mlx-lm without keys and values, which provides a boolean attention mask."""

    offset = 0

    def __init__(self, mask: mx.array) -> None:
        """Take a `mask` (sequences, 1, queries, keys) that is true where a query may attend to a key."""
        self.mask = mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Return keys and values as they are."""
        return keys, values

    def make_mask(self, _length: int, *, window_size: int | None = None, **_: Any) -> mx.array:
        """Return the mask, limited to a sliding window if the layer has one."""
        if window_size is None:
            return self.mask
        positions = mx.arange(self.mask.shape[-1])
        return self.mask & (positions[:, None] < positions[None, :] + window_size)


def packing_caches(model: nn.Module, segments: mx.array) -> list[BlockDiagonalMask]:
    """Return a cache for every layer, with the causal mask within the rows of `segments` (sequences, length)."""
    positions = mx.arange(segments.shape[1])
    same_row = segments[:, None, :, None] == segments[:, None, None, :]
    return [BlockDiagonalMask(same_row & (positions[:, None] >= positions[None, :]))] * len(model.layers)


def problem(model: nn.Module, rows: TokenRows) -> str:
    """Return why rows cannot be packed exactly, or an empty string.

    Compares loss and gradients of three rows, the longest among them, packed and on their own.
    """
    order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
    if len(order) < 2:
        return "there is one row"
    sample = [mx.array(rows.row(index)[0].tolist()) for index in (order[len(order) // 4], order[-1], order[0])]
    ids, targets = mx.concatenate([row[:-1] for row in sample]), mx.concatenate([row[1:] for row in sample])
    segments = mx.array([number for number, row in enumerate(sample) for _ in range(row.size - 1)])[None]
    caches = packing_caches(model, segments)

    def single(reverse: bool) -> gradient_trial.Loss:
        chosen = sample[::-1] if reverse else sample
        return lambda _: mx.stack([_loss(model, row[:-1], row[1:]) for row in chosen]).sum()

    try:
        return gradient_trial.problem(
            model, single(False), lambda _: _loss(model, ids, targets, caches), again=single(True)
        )
    except Exception as error:  # a model with another kind of cache may fail in any way
        return f"its layers cannot be computed with a packed sequence ({type(error).__name__}: {error})"


def _loss(model: nn.Module, ids: mx.array, targets: mx.array, cache: Any = None) -> mx.array:
    logits: mx.array = model(ids[None], cache=cache).astype(mx.float32)[0]
    loss: mx.array = nn.losses.cross_entropy(logits, targets).sum()
    return loss
