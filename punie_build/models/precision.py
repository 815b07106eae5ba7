"""Precision: in which one a model is computed on this device, whatever it is kept in. For processes that have mlx."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, get_total_parameters

SMALL = 2**30  # parameters whose float32 a machine has room for


def computed(model: nn.Module, expand: bool = True) -> None:
    """On a CPU, halves are computed in float32, and so are the weights of a small quantised model (`expand`): they are the same
    weights, and products of halves and of quantised weights are slow there."""
    if mx.default_device() != mx.Device(mx.cpu):
        return
    if expand and get_total_parameters(model) < SMALL:
        dequantize_model(model)
    kinds = {value.dtype for _, value in tree_flatten(model.parameters())}
    if kinds <= {mx.bfloat16, mx.float16, mx.float32}:
        model.set_dtype(mx.float32)
