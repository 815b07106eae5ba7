"""Attention by blocks has the bytes of mlx's own, in its output and its gradients, and takes less memory."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import pytest
from mlx_lm.models import base

from punie_build.training.loop import blocked_attention

pytestmark = pytest.mark.skipif(mx.default_device() != mx.cpu, reason="a GPU has an attention of its own")
SIZE = 8


def window(length: int, total: int) -> mx.array:
    """Return the causal mask of a sliding window."""
    queries, keys = mx.arange(total - length, total)[:, None], mx.arange(total)[None]
    return (keys <= queries) & (queries < keys + 40)


def by_row(length: int, total: int) -> mx.array:
    """Return a mask (rows, 1, length, total) that differs by row, as that of packed rows."""
    return mx.stack([window(length, total), mx.tri(length, total, total - length) > 0, window(length, total)])[:, None]


def results(function: Callable[..., mx.array], arrays: list[mx.array], mask: mx.array | str | None) -> list[mx.array]:
    """Return the output of an attention, and the gradients of a weighted sum of it."""
    queries, keys, values = arrays

    def total(*arguments: mx.array) -> mx.array:
        return (function(*arguments, cache=None, scale=0.3, mask=mask) * weights).sum()

    output = function(queries, keys, values, cache=None, scale=0.3, mask=mask)
    weights = mx.random.normal(output.shape, key=mx.random.key(4))
    return [output, *mx.grad(total, argnums=(0, 1, 2))(*arrays)]


@pytest.mark.parametrize(
    ("heads", "key_heads", "length", "total", "mask"),
    [
        (4, 2, 100, 100, "causal"),
        (4, 4, 96, 96, "causal"),
        (4, 1, 70, 133, "causal"),
        (4, 2, 90, 122, window),
        (4, 2, 90, 90, by_row),
        (2, 2, 80, 80, None),
    ],
)
@pytest.mark.parametrize("part", [2**13, 2**15, 2**24])
def test_output_and_gradients_have_the_bytes_of_mlx(heads, key_heads, length, total, mask, part, monkeypatch):
    """Parts are some heads of a row, some rows, or all."""
    monkeypatch.setattr(blocked_attention, "PART", part)
    monkeypatch.setattr(blocked_attention, "LEAST", 0)
    shapes = (3, heads, length, SIZE), (3, key_heads, total, SIZE), (3, key_heads, total, 2 * SIZE)
    arrays = [mx.random.normal(shape, key=mx.random.key(number)) for number, shape in enumerate(shapes)]
    mask = mask(length, total) if callable(mask) else mask
    assert blocked_attention.applies(arrays[0], arrays[1], mask)
    both = (results(function, arrays, mask) for function in (blocked_attention.ORIGINAL, blocked_attention.attention))
    for expected, result in zip(*both, strict=True):
        assert mx.array_equal(expected, result)


def test_attention_is_left_to_mlx_where_blocks_are_not_its_own_rule(monkeypatch):
    """Of few scores, of other precisions, and with a mask that is added or belongs to a head."""
    short, long = (mx.zeros((1, 2, length, SIZE)) for length in (64, 1024))
    assert not blocked_attention.applies(short, short, "causal")
    assert blocked_attention.applies(long, long, "causal")
    assert not blocked_attention.applies(long.astype(mx.bfloat16), long, "causal")
    assert not blocked_attention.applies(long, long, mx.zeros((1024, 1024)))
    assert not blocked_attention.applies(long, long, mx.ones((1, 2, 1024, 1024), mx.bool_))
    monkeypatch.setattr(blocked_attention, "LEAST", 0)
    sinks = mx.array([0.5, 1.0])
    both = [
        function(short, short, short + 1, cache=None, scale=1.0, mask="causal", sinks=sinks)
        for function in (blocked_attention.attention, base.scaled_dot_product_attention)
    ]
    assert mx.array_equal(both[0], both[1])


def test_the_gradients_of_a_batch_take_half_of_the_memory(monkeypatch):
    """With the least limit, mlx allocates no further ahead than it computes: the peak depends on no load."""
    monkeypatch.setattr(blocked_attention, "PART", 2**16)
    monkeypatch.setattr(blocked_attention, "LEAST", 0)
    arrays = [mx.random.normal((4, heads, 256, SIZE), key=mx.random.key(heads)) for heads in (4, 2, 2)]
    mx.eval(arrays)
    peaks, limit = [], mx.set_memory_limit(1)
    try:
        for function in (blocked_attention.ORIGINAL, blocked_attention.attention):
            before = mx.get_active_memory()
            mx.reset_peak_memory()
            mx.eval(results(function, arrays, "causal"))
            peaks.append(mx.get_peak_memory() - before)
    finally:
        mx.set_memory_limit(limit)
    assert peaks[1] < 0.6 * peaks[0], peaks
