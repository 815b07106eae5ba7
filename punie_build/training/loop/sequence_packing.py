"""Packing: rows behind one another in one sequence, each blind to the others. Imported by the trainer.

Models of mlx-lm ask the cache they are given for their attention mask: a cache that keeps nothing and answers with a mask of
blocks packs any of them, without touching its code. Positions count on through a sequence, which relative embeddings do not
see. That a model keeps to this is tried out before it is trusted (`exact`).
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from punie_build.training.token_file import Rows

NEAR = 1e-5  # nats a token, between packed and alone; float32 rounds to less


class Blind:
    """A cache of nothing: keys and values pass, the mask is ours."""

    offset = 0

    def __init__(self, mask: mx.array) -> None:
        self.mask = mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values

    def make_mask(self, _length: int, *, window_size: int | None = None, **_: Any) -> mx.array:
        if window_size is None:
            return self.mask
        places = mx.arange(self.mask.shape[-1])
        return self.mask & (places[:, None] < places[None, :] + window_size)


def blind(model: nn.Module, segments: mx.array) -> list[Blind]:
    """A cache for every layer: (sequences, length) of row numbers -> who may look at whom."""
    places = mx.arange(segments.shape[1])
    same = segments[:, None, :, None] == segments[:, None, None, :]
    return [Blind(same & (places[:, None] >= places[None, :]))] * len(model.layers)


def exact(model: nn.Module, rows: Rows) -> bool:
    """Whether the longest row and a short one give this model in one sequence the losses that they give alone."""
    order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
    if len(order) < 2:
        return False
    pair = [mx.array(rows.row(index)[0].tolist()) for index in (order[len(order) // 4], order[-1], order[0])]
    segments = mx.array([number for number, ids in enumerate(pair) for _ in range(ids.size - 1)])[None]
    try:
        alone = [_losses(model, ids[:-1], ids[1:]) for ids in pair]
        whole = mx.concatenate([ids[:-1] for ids in pair]), mx.concatenate([ids[1:] for ids in pair])
        gaps = mx.abs(mx.concatenate(alone) - _losses(model, *whole, blind(model, segments)))
        return bool((gaps.mean() <= NEAR).item()) and bool((gaps.max() <= 100 * NEAR).item())
    except Exception:  # a model whose cache is something else may fail in any way
        return False


def _losses(model: nn.Module, ids: mx.array, targets: mx.array, cache: Any = None) -> mx.array:
    logits: mx.array = model(ids[None], cache=cache).astype(mx.float32)[0]
    each: mx.array = nn.losses.cross_entropy(logits, targets)
    return each
