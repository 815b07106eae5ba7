"""Load a base and make the adapted parameters trainable, all others frozen."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build.models.precision import set_compute_precision
from punie_build.training.compatibility import BaseFacts, incompatibilities
from punie_build.training.spec import Adapter

LINEAR = (nn.Linear, nn.QuantizedLinear)


def load_trainable(spec: Adapter, base: str, rows: int) -> tuple[nn.Module, int]:
    """Return the base in folder `base`, ready to be trained on `rows` rows, and its number of trained layers.

    Exits with all incompatibilities of the recipe before anything is computed.
    """
    model = _load_base(spec, base)
    if problems := incompatibilities(spec, base_facts(model, rows)):
        raise SystemExit("\n".join(f"punie: {problem}" for problem in problems))
    layers = apply_adapter(model, spec)
    if spec.grad_checkpoint:
        grad_checkpoint(model.layers[0])
    model.eval()
    return model, layers


def apply_adapter(model: nn.Module, spec: Adapter) -> int:
    """Make the parameters of the recipe trainable, freeze all others, and return the number of trained layers.

    Exits if no parameter is left to train.
    """
    layers = len(model.layers) if spec.num_layers == -1 else spec.num_layers
    model.freeze()
    mx.random.seed(spec.seed)
    if spec.fine_tune_type == "full":
        for layer in model.layers[-layers:]:
            layer.unfreeze()
    else:
        try:
            linear_to_lora_layers(model, layers, lora_parameters(spec), use_dora=spec.fine_tune_type == "dora")
        except ValueError as error:  # mlx-lm has no DoRA for experts, nor LoRA for every kind of module
            raise SystemExit(f"punie: {spec.base}: {error} - choose other lora.keys") from None
    if not tree_flatten(model.trainable_parameters()):
        raise SystemExit(
            f"punie: lora.keys {list(spec.lora.keys or ())}: not in the last {layers} layers of the base - "
            "raise num_layers"
        )
    return layers


def base_facts(model: nn.Module, rows: int) -> BaseFacts:
    """Return the facts of a loaded base that a recipe must be compatible with."""
    widths: dict[str, int] = {}
    quantized = False
    for layer in model.layers:
        for name, module in layer.named_modules():
            if isinstance(module, LINEAR):
                outputs, inputs = module.weight.shape
                if isinstance(module, nn.QuantizedLinear):
                    inputs, quantized = inputs * 32 // module.bits, True
                widths[name] = min(outputs, inputs, widths.get(name, outputs))
    in_layers = {name for layer in model.layers for name, _ in layer.named_modules()}
    others = tuple(sorted(in_layers | {name for name, _ in model.named_modules()} - {*widths, ""}))
    return BaseFacts(layers=len(model.layers), widths=widths, others=others, quantized=quantized, rows=rows)


def lora_parameters(spec: Adapter) -> dict[str, Any]:
    """Return the `lora_parameters` of mlx-lm."""
    lora = spec.lora
    return {"rank": lora.rank, "scale": lora.scale, "dropout": lora.dropout} | (
        {"keys": list(lora.keys)} if lora.keys else {}
    )


def _load_base(spec: Adapter, base: str) -> nn.Module:
    try:
        model, *_ = load(base)
    except Exception as error:  # mlx-lm passes on any exception of its dependencies
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot load this base: {error}") from error
    # full training writes weights in the precision of the base
    set_compute_precision(model, expand=spec.fine_tune_type != "full")
    return model
