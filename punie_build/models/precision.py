"""The precision in which a model is computed on this device. Imports mlx."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, get_total_parameters

from punie_build.models.architecture import MAX_EXPANDED_PARAMETERS


def set_compute_precision(model: nn.Module, expand: bool = True) -> None:
    """Convert the weights of a model to float32 on a CPU, where products in half precision are slow.

    With `expand`, the weights of a small quantized model are dequantized too. The values of the weights do not change.
    """
    if mx.default_device() != mx.Device(mx.cpu):
        return
    is_small = get_total_parameters(model) < MAX_EXPANDED_PARAMETERS
    if expand and is_small:
        dequantize_model(model)
    dtypes = {value.dtype for _, value in tree_flatten(model.parameters())}
    # mlx-lm leaves latent attention quantized; beside it, experts must be in float32 all the same
    if (expand and is_small) or dtypes <= {mx.bfloat16, mx.float16, mx.float32}:
        model.set_dtype(mx.float32)
