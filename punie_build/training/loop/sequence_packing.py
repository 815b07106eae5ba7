"""Sequence packing: several rows in one sequence, each attending to itself only.

The models of mlx-lm take their attention mask from the cache that they are passed. A cache that stores no keys and
values, and answers with a block-diagonal mask, therefore packs any of them without a change to their code. Positions
count on through a sequence, which makes no difference to relative embeddings. `is_exact` tests a model before packing
is used.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from punie_build.training.token_file import TokenRows

TOLERANCE = 1e-5  # nats per token between packed and single rows; float32 rounds to less


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


def is_exact(model: nn.Module, rows: TokenRows) -> bool:
    """Return whether three rows, the longest among them, have the same losses packed as on their own."""
    order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
    if len(order) < 2:
        return False
    sample = [mx.array(rows.row(index)[0].tolist()) for index in (order[len(order) // 4], order[-1], order[0])]
    segments = mx.array([number for number, ids in enumerate(sample) for _ in range(ids.size - 1)])[None]
    try:
        single = [_losses(model, ids[:-1], ids[1:]) for ids in sample]
        inputs, targets = mx.concatenate([ids[:-1] for ids in sample]), mx.concatenate([ids[1:] for ids in sample])
        packed = _losses(model, inputs, targets, packing_caches(model, segments))
        differences = mx.abs(mx.concatenate(single) - packed)
        return bool((differences.mean() <= TOLERANCE).item()) and bool((differences.max() <= 100 * TOLERANCE).item())
    except Exception:  # a model with another kind of cache may fail in any way
        return False


def _losses(model: nn.Module, ids: mx.array, targets: mx.array, cache: Any = None) -> mx.array:
    logits: mx.array = model(ids[None], cache=cache).astype(mx.float32)[0]
    losses: mx.array = nn.losses.cross_entropy(logits, targets)
    return losses
