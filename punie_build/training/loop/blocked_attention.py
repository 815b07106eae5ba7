"""Attention on a CPU by blocks, for training: the same bytes as mlx's own, in less memory and time.

On a CPU mlx computes attention by plain operations on the scores of a whole batch, (rows, heads, length, length): four
rows of 1,024 tokens with 8 heads take 128 MB, and a backward pass holds several such arrays beside the probabilities
of all layers. Here they are computed for a few rows or heads at a time, and of causal scores only the blocks that are
not masked, which saves up to half of the exponentials. The parts wait for each other, so that mlx does not compute them
side by side.

Sums are those of mlx: a product over keys or queries runs over their whole length, with zeros where they are masked,
because OpenBLAS rounds sums of other lengths in another order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import base

ORIGINAL: Any = base.scaled_dot_product_attention
LEAST = 2**20  # scores of a batch: fewer are computed at once
PART = 2**20  # scores that are computed at a time, 4 MB
BLOCK = 64  # queries of a block, whose keys end with those that its last query sees
ALIGN = 32  # keys of a block are a multiple of this: a softmax adds them in lanes


class BlockedAttention:
    """The attention of `queries` (rows, heads, length, size) to `keys` (rows, key heads, total, size).

    `mask` is "causal", None or an array of booleans (length, total) or (rows or 1, 1, length, total).
    """

    def __init__(self, queries: mx.array, keys: mx.array, scale: float, mask: mx.array | str | None) -> None:
        self.scale, self.total = scale, keys.shape[2]
        rows, heads, length, _ = queries.shape
        key_heads = keys.shape[1]
        self.repeats, first = heads // key_heads, self.total - length
        fitting = max(1, PART // (self.repeats * length * self.total))  # key heads
        self.rows = _spans(rows, max(1, fitting // key_heads))
        self.key_heads = _spans(key_heads, fitting)
        is_causal = isinstance(mask, str)
        self.queries = _spans(length, BLOCK if is_causal else length)
        ends = [-(-(first + span.stop) // ALIGN) * ALIGN if is_causal else self.total for span in self.queries]
        self.ends = [min(end, self.total) for end in ends]  # of the keys of each block
        self.mask: Any = mx.arange(first, self.total)[:, None] >= mx.arange(self.total) if is_causal else mask

    def __call__(self, queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        """Return (rows, heads, length, value size), differentiable in all three arrays."""
        function: Any = mx.custom_function(self.forward)
        function.vjp(self.backward)
        result: mx.array = function(queries, keys, values)[0]
        return result

    def forward(self, queries: mx.array, keys: mx.array, values: mx.array) -> list[mx.array]:
        """Return the output, and the probabilities of all blocks of all parts."""
        outputs: list[mx.array] = []
        blocks_of_parts: list[mx.array] = []
        for rows, heads in product(self.rows, self.key_heads):
            [part] = _after([queries[rows, self._of(heads)]], outputs[-1:])
            q, k, v = self._grouped(self.scale * part), keys[rows, heads][:, :, None], values[rows, heads][:, :, None]
            blocks = [self._probabilities(q, k, rows, number) for number in range(len(self.ends))]
            outputs.append(mx.flatten(self._whole(blocks) @ v, 1, 2))
            blocks_of_parts += blocks
        return [self._joined(outputs), *blocks_of_parts]

    def backward(
        self, arrays: Sequence[mx.array], cotangents: Sequence[mx.array], outputs: Sequence[mx.array]
    ) -> tuple[mx.array, ...]:
        """Return the gradients of queries, keys and values."""
        queries, keys, values = arrays
        gradients: list[list[mx.array]] = []
        blocks_of_parts = iter(outputs[1:])
        for rows, heads in product(self.rows, self.key_heads):
            arrays_of_part = [cotangents[0][rows, self._of(heads)], *(next(blocks_of_parts) for _ in self.ends)]
            cotangent, *blocks = _after(arrays_of_part, gradients[-1] if gradients else [])
            q = self._grouped(self.scale * queries[rows, self._of(heads)])
            k, v = keys[rows, heads][:, :, None], values[rows, heads][:, :, None]
            gradients.append(self._of_part(q, k, v, self._grouped(cotangent), blocks))
        of_queries, of_keys, of_values = (self._joined(parts) for parts in zip(*gradients, strict=True))
        return of_queries, of_keys, of_values

    def _of_part(
        self, q: mx.array, k: mx.array, v: mx.array, cotangent: mx.array, probabilities: list[mx.array]
    ) -> list[mx.array]:
        """Return the gradients of a part's queries, keys and values, by the rules that mlx derives them with."""
        of_scores = []
        for span, end, block in zip(self.queries, self.ends, probabilities, strict=True):
            product_ = block * (cotangent[..., span, :] @ mx.swapaxes(v[..., :end, :], -1, -2))
            of_scores.append(product_ - block * product_.sum(-1, keepdims=True))
        matrix = self._whole(of_scores)
        of_keys = mx.swapaxes(mx.swapaxes(q, -1, -2) @ matrix, -1, -2).sum(2)
        of_values = (mx.swapaxes(self._whole(probabilities), -1, -2) @ cotangent).sum(2)
        return [mx.flatten(self.scale * (matrix @ k), 1, 2), of_keys, of_values]

    def _probabilities(self, q: mx.array, k: mx.array, rows: slice, number: int) -> mx.array:
        """Return the probabilities (rows, key heads, repeats, queries, keys) of a block."""
        span, end = self.queries[number], self.ends[number]
        scores = q[..., span, :] @ mx.swapaxes(k[..., :end, :], -1, -2)
        if self.mask is not None:
            mask = self.mask[..., span, :end]
            mask = mask if mask.ndim == 2 else (mask if len(mask) == 1 else mask[rows])[:, :, None]
            scores = mx.where(mask, scores, mx.finfo(scores.dtype).min)
        return mx.softmax(scores, axis=-1, precise=True)

    def _of(self, key_heads: slice) -> slice:
        """Return the heads that share these key heads."""
        return slice(key_heads.start * self.repeats, key_heads.stop * self.repeats)

    def _grouped(self, array: mx.array) -> mx.array:
        """Return (rows, heads, ...) as (rows, key heads, repeats, ...)."""
        return mx.unflatten(array, 1, (-1, self.repeats))

    def _whole(self, blocks: list[mx.array]) -> mx.array:
        """Return blocks as one array (..., length, total), with zeros for the keys after their ends."""
        rest = [(0, 0)] * (blocks[0].ndim - 1)
        return mx.concatenate([mx.pad(block, [*rest, (0, self.total - block.shape[-1])]) for block in blocks], axis=-2)

    def _joined(self, parts: Sequence[mx.array]) -> mx.array:
        """Return the arrays of all parts as one."""
        size = len(self.key_heads)
        by_rows = [mx.concatenate(list(parts[start : start + size]), axis=1) for start in range(0, len(parts), size)]
        return mx.concatenate(by_rows)


def attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    cache: object,
    scale: float,
    mask: mx.array | str | None,
    sinks: mx.array | None = None,
) -> mx.array:
    """Compute mlx-lm's `scaled_dot_product_attention`, by blocks where that saves memory."""
    if sinks is None and not hasattr(cache, "bits") and applies(queries, keys, mask):
        return BlockedAttention(queries, keys, scale, mask)(queries, keys, values)
    result: mx.array = ORIGINAL(queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks)
    return result


def applies(queries: mx.array, keys: mx.array, mask: mx.array | str | None) -> bool:
    """Return whether attention is computed by blocks: many scores, and a mask of booleans that all heads share."""
    rows, heads, length, _ = queries.shape
    if isinstance(mask, mx.array):
        shares = mask.dtype == mx.bool_ and mask.shape[-2:] == (length, keys.shape[2])
        shares = shares and (mask.ndim == 2 or (mask.ndim == 4 and mask.shape[1] == 1))
    else:
        shares = mask is None or mask == "causal"
    return shares and queries.dtype == mx.float32 and rows * heads * length * keys.shape[2] >= LEAST


def install(model: nn.Module) -> None:
    """Let the layers of a model compute attention by blocks in this process, if it computes on a CPU."""
    if mx.default_device() != mx.cpu:
        return
    for module in {sys.modules[type(layer).__module__] for _, layer in model.named_modules()}:
        if getattr(module, "scaled_dot_product_attention", None) is ORIGINAL:
            module.scaled_dot_product_attention = attention  # type: ignore[attr-defined]


def _after(arrays: list[mx.array], others: list[mx.array]) -> list[mx.array]:
    """Return arrays that are computed when others are."""
    return mx.depends(arrays, others) if others else arrays


def _spans(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
