"""Adapting: a base that has what is to be trained, and nothing else that changes. Imported by the trainer."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build.models.precision import computed
from punie_build.training.compatibility import Known, refusals
from punie_build.training.spec import Adapter

LINEAR = (nn.Linear, nn.QuantizedLinear)


def adapted(spec: Adapter, base: str, rows: int) -> tuple[nn.Module, int]:
    """The base of a folder, ready to be trained on so many rows, and how many of its layers are. Ends the process with what
    cannot be, before anything is computed."""
    model = _loaded(spec, base)
    if told := refusals(spec, known(model, rows)):
        raise SystemExit("\n".join(f"punie: {line}" for line in told))
    count = adapt(model, spec)
    if spec.grad_checkpoint:
        grad_checkpoint(model.layers[0])
    model.eval()
    return model, count


def adapt(model: nn.Module, spec: Adapter) -> int:
    """Freeze the model, but for what is trained; how many layers that is. Ends the process if it is nothing."""
    count = len(model.layers) if spec.num_layers == -1 else spec.num_layers
    model.freeze()
    mx.random.seed(spec.seed)
    if spec.fine_tune_type == "full":
        for layer in model.layers[-count:]:
            layer.unfreeze()
    else:
        try:
            linear_to_lora_layers(model, count, parameters(spec), use_dora=spec.fine_tune_type == "dora")
        except ValueError as error:  # experts cannot be DoRA, and whatever else mlx-lm does not know
            raise SystemExit(f"punie: {spec.base}: {error} - choose other lora.keys") from None
    if not tree_flatten(model.trainable_parameters()):
        raise SystemExit(
            f"punie: lora.keys {list(spec.lora.keys or ())}: not in the last {count} layers of the base - raise num_layers"
        )
    return count


def known(model: nn.Module, rows: int) -> Known:
    """What a recipe must fit."""
    widths: dict[str, int] = {}
    quantised = False
    for layer in model.layers:
        for name, module in layer.named_modules():
            if isinstance(module, LINEAR):
                out, into = module.weight.shape
                if isinstance(module, nn.QuantizedLinear):
                    into, quantised = into * 32 // module.bits, True
                widths[name] = min(out, into, widths.get(name, out))
    inside = {name for layer in model.layers for name, _ in layer.named_modules()}
    others = tuple(sorted(inside | {name for name, _ in model.named_modules()} - {*widths, ""}))
    return Known(layers=len(model.layers), widths=widths, others=others, quantised=quantised, rows=rows)


def parameters(spec: Adapter) -> dict[str, Any]:
    """`lora_parameters` as mlx-lm names them."""
    lora = spec.lora
    return {"rank": lora.rank, "scale": lora.scale, "dropout": lora.dropout} | (
        {"keys": list(lora.keys)} if lora.keys else {}
    )


def _loaded(spec: Adapter, base: str) -> nn.Module:
    try:
        model, *_ = load(base)
    except Exception as error:  # mlx-lm raises whatever went wrong inside
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot load this base: {error}") from error
    computed(model, expand=spec.fine_tune_type != "full")  # what full training changes is written as the base has it
    return model
