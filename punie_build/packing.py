"""Packing: rows behind one another in one sequence, each blind to the others. Imported by the trainer.

Models of mlx-lm ask the cache they are given for their attention mask: a cache that keeps nothing and answers with a mask of
blocks packs any of them, without touching its code. Positions count on through a sequence, which relative embeddings do not
see. That a model keeps to this is tried out before it is trusted (`exact`).
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from punie_build.tokenfiles import Rows

NEAR = 1e-5  # nats a token between packed and alone; float32 rounds to less


class Blind:
    """A cache of nothing: keys and values pass, the mask is ours."""

    offset = 0

    def __init__(self, mask: mx.array) -> None:
        self.mask = mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values

    def make_mask(self, *_: Any, **__: Any) -> mx.array:
        return self.mask


def blind(model: nn.Module, segments: mx.array) -> list[Blind]:
    """A cache for every layer: (sequences, length) of row numbers -> who may look at whom."""
    length = segments.shape[1]
    same = segments[:, None, :, None] == segments[:, None, None, :]
    mask = same & (mx.arange(length)[:, None] >= mx.arange(length)[None, :])
    return [Blind(mask)] * len(model.layers)


def exact(model: nn.Module, rows: Rows) -> bool:
    """Whether two rows in one sequence give this model the losses that they give alone."""
    if len(rows) < 2:
        return False
    pair = [mx.array(rows.row(index)[0][:64].tolist()) for index in (0, 1)]

    def losses(ids: mx.array, targets: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = model(ids[None], cache=cache).astype(mx.float32)[0]
        each: mx.array = nn.losses.cross_entropy(logits, targets)
        return each

    try:
        alone = mx.concatenate([losses(ids[:-1], ids[1:]) for ids in pair])
        segments = mx.array([number for number, ids in enumerate(pair) for _ in range(len(ids) - 1)])[None]
        together = losses(
            mx.concatenate([ids[:-1] for ids in pair]),
            mx.concatenate([ids[1:] for ids in pair]),
            blind(model, segments),
        )
        return bool((mx.abs(alone - together).max() <= NEAR * mx.maximum(1, alone.max())).item())
    except Exception:  # a model whose cache is something else: it may fail in any way
        return False
