"""Trials of another way to compute a loss: the loss and all gradients are compared with the plain way.

A fault in a gradient does not show in the loss. Weights of adapters that begin as zeros are random meanwhile, because
all gradients that pass through them would be zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

NOISE = 10  # times the difference between two plain computations, which is rounding alone
TOLERANCE = 1e-5  # of the norm of the gradient, where rounding is less
Loss = Callable[[nn.Module], mx.array]


@contextmanager
def random_adapters(model: nn.Module) -> Iterator[None]:
    """Give weights of adapters that are zero random values inside the block."""
    before = [(name, value) for name, value in tree_flatten(model.trainable_parameters()) if "lora_b" in name]
    key = mx.random.key(0)
    model.load_weights([(n, mx.random.normal(v.shape, v.dtype, 0, 0.02, key)) for n, v in before], strict=False)
    try:
        yield
    finally:
        model.load_weights(before, strict=False)


def problem(model: nn.Module, plain: Loss, other: Loss, again: Loss | None = None) -> str:
    """Return how far loss or gradients of `other` are from those of `plain`, or an empty string if they are equal.

    `again` is a plain computation in another order, whose difference is rounding. Raises any exception of the model.
    """
    results = []
    with random_adapters(model):
        for function in (plain, other, again or plain):
            value, gradients = nn.value_and_grad(model, function)(model)
            results.append([value[None], *(array for _, array in tree_flatten(gradients))])
            mx.eval(results[-1])
    gap, noise = _difference(results[0], results[1]), _difference(results[0], results[2])
    allowed = max(TOLERANCE, NOISE * noise)
    return "" if gap <= allowed else f"its gradients differ from a plain batch by {gap:.1e} (allowed: {allowed:.1e})"


def _difference(expected: list[mx.array], result: list[mx.array]) -> float:
    """Return the larger of the relative differences of loss and gradient norm; the first array is the loss."""

    def norm(arrays: list[mx.array]) -> float:
        total: Any = mx.stack([(array.astype(mx.float32) ** 2).sum() for array in arrays]).sum()
        root: float = total.item() ** 0.5
        return root

    gaps = [a.astype(mx.float32) - b.astype(mx.float32) for a, b in zip(expected, result, strict=True)]
    return max(norm(gaps[:1]) / norm(expected[:1]), norm(gaps[1:]) / max(norm(expected[1:]), 1e-12))
