"""The precision in which a model is computed on this device, and the loading of a model into it. Imports mlx.

Training, exports, evals and servers load here: a model is computed in the same numbers wherever it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import (
    dequantize_model,
    get_total_parameters,
    load,
    load_model,
    maybe_set_recommended_wired_limit,
)

from punie_build.models.architecture import MAX_EXPANDED_PARAMETERS


def set_compute_precision(model: nn.Module, expand: bool = True) -> None:
    """Convert the weights of a model to float32 on a CPU, where products in half precision are slow, and those of
    experts are not computed at all.

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


def load_computed(folder: str, expand: bool = True, **options: Any) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Return a model in the compute precision of this device, its tokenizer and its config.

    Weights are converted while they are read, so that they are in memory once. `options` are those of mlx-lm's `load`.
    Raises any exception of mlx-lm and its dependencies.
    """
    maybe_set_recommended_wired_limit()
    model, tokenizer, config = load(folder, lazy=True, return_config=True, **options)
    set_compute_precision(model, expand)
    mx.eval(model.parameters())
    return model, tokenizer, config


def load_weights(folder: Path) -> nn.Module:
    """Return a model in the compute precision of this device. Weights are read when they are first used."""
    maybe_set_recommended_wired_limit()
    model: nn.Module = load_model(folder, lazy=True)[0]
    set_compute_precision(model)
    return model


def add_adapter(model: nn.Module, folder: Path | str) -> nn.Module:
    """Return a model with an adapter, in the compute precision of this device."""
    adapted: nn.Module = load_adapters(model, str(folder))
    adapted.eval()
    set_compute_precision(adapted)
    mx.eval(adapted.parameters())
    return adapted
