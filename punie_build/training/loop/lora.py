"""Load a base and make the adapted parameters trainable, all others frozen."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model
from msgspec import structs

from punie_build.models.precision import load_computed
from punie_build.training import adapter_config
from punie_build.training.adapter_files import WEIGHTS
from punie_build.training.compatibility import BaseFacts, incompatibilities
from punie_build.training.loop import blocked_attention
from punie_build.training.loop.shared_prefix import checkpoint_layers
from punie_build.training.spec import Adapter

MOST_PROBLEMS = 5  # of an initial adapter, named in one message
LINEAR = (nn.Linear, nn.QuantizedLinear)


def load_trainable(spec: Adapter, base: str, rows: int) -> tuple[nn.Module, int]:
    """Return the base in folder `base`, ready to be trained on `rows` rows, and its number of trained layers.

    Exits with all incompatibilities of the recipe before anything is computed.
    """
    model = _load_base(spec, base)
    try:
        if problems := incompatibilities(spec, base_facts(model, rows)):
            raise SystemExit("\n".join(f"punie: {problem}" for problem in problems))
        layers = apply_adapter(model, spec)
        blocked_attention.install(model)
        if spec.grad_checkpoint:
            checkpoint_layers(model.layers[0])
        trace_gradient(model)
        check_loadable(model, spec)
    except Exception as error:  # the code of a model may fail in any way
        advice = _advice(spec, base)
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot train this base ({_reason(error)}) - {advice}") from error
    model.eval()
    return model, layers


def load_initial(model: nn.Module, spec: Adapter, folder: Path) -> None:
    """Replace the trainable weights by those of the adapter in a folder. Exits unless they have the same shapes."""
    initial: Any = mx.load(str(folder / WEIGHTS["mlx-lm"]))
    config = adapter_config.load(folder)
    trainable: Any = dict(tree_flatten(model.trainable_parameters()))
    problems = [
        f"{name} is {initial[name].shape if name in initial else 'missing'}, and {array.shape} here"
        for name, array in trainable.items()
        if name not in initial or initial[name].shape != array.shape
    ]
    problems += [f"{name} is not trained here" for name in sorted(initial) if name not in trainable]
    if config.lora_parameters and config.lora_parameters.scale not in (None, spec.lora.scale):
        problems.append(f"its scale is {config.lora_parameters.scale:g}, and {spec.lora.scale:g} here")
    if problems:
        more = f", and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise SystemExit(
            f"punie: init: {spec.init} does not fit: {'; '.join(problems[:MOST_PROBLEMS])}{more}"
            " - give both adapters the same layers, keys, rank and scale"
        )
    model.load_weights([(name, array.astype(trainable[name].dtype)) for name, array in initial.items()], strict=False)


def trace_gradient(model: nn.Module) -> None:
    """Build the graph of a loss and of its gradient without computing it. Raises any exception of the model's code."""
    model.train()
    inputs = mx.array([[1, 2, 3, 4, 5, 6, 7, 8]])
    nn.value_and_grad(model, lambda: model(inputs).astype(mx.float32).sum())()


def check_loadable(model: nn.Module, spec: Adapter) -> None:
    """Raise ValueError if mlx-lm could train an adapter of this model, and then not load it: it knows three names."""
    names = [name for name, _ in tree_flatten(model.trainable_parameters())]
    unknown = [name for name in names if name.rpartition(".")[2] not in ("lora_a", "lora_b", "m")]
    if unknown and spec.fine_tune_type != "full":
        raise ValueError(f"it would load no adapter with {unknown[0]}")


def _advice(spec: Adapter, base: str) -> str:
    """Return advice about a base that cannot be trained: the modules that can be adapted, each tried alone."""
    if spec.fine_tune_type == "full" or (spec.lora.keys and len(spec.lora.keys) == 1):
        return "use another base"
    working = []
    with suppress(Exception):  # then no module works
        for key in sorted(base_facts(load_model(Path(base), lazy=True)[0], 1).widths or ()):
            alone = structs.replace(spec, lora=structs.replace(spec.lora, keys=(key,)))
            with suppress(Exception, SystemExit):
                model, _ = load_model(Path(base), lazy=True)
                apply_adapter(model, alone)
                trace_gradient(model)
                check_loadable(model, alone)
                working.append(key)
    return f"set lora.keys = {json.dumps(working)}, or use another base" if working else "use another base"


def _reason(error: Exception) -> str:
    """Return an exception in a line, with its type if its text alone says little."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | RuntimeError) and text else f"{type(error).__name__}: {text}"


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
        if spec.lora.keys:
            problem = (
                f"lora.keys {list(spec.lora.keys)}: not in the last {layers} layers of the base - raise num_layers"
            )
        else:
            problem = f"{spec.base}: the last {layers} layers have no module that mlx-lm can adapt - use another base"
        raise SystemExit(f"punie: {problem}")
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
    try:  # full training writes weights in the precision of the base
        model, *_ = load_computed(base, expand=spec.fine_tune_type != "full")
    except Exception as error:  # mlx-lm passes on any exception of its dependencies
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot load this base: {_reason(error)}") from error
    return model
