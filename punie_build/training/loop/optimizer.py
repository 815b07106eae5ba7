"""Build the optimizer of a training from its recipe, and restore it from a checkpoint."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import msgspec
from mlx import nn, optimizers
from mlx.optimizers import schedulers
from mlx.utils import tree_flatten, tree_map_with_path

from punie_build.training.optimizer_spec import (
    Adafactor,
    Adamw,
    Constant,
    CosineDecay,
    ExponentialDecay,
    Linear,
    Muon,
    Sgd,
    StepDecay,
)
from punie_build.training.spec import Adapter

CLASSES: dict[type, Any] = {
    Adamw: optimizers.AdamW,
    Muon: optimizers.Muon,
    Sgd: optimizers.SGD,
    Adafactor: optimizers.Adafactor,
}


def build_optimizer(spec: Adapter, updates: int) -> Any:
    """Return the optimizer of a recipe, with its schedule over `updates` updates."""
    arguments = {name: value for name, value in msgspec.to_builtins(spec.optimizer).items() if name != "type"}
    if "betas" in arguments:
        arguments["betas"] = list(arguments["betas"])
    optimizer = CLASSES.get(type(spec.optimizer), optimizers.Adam)
    return optimizer(learning_rate=learning_rate_schedule(spec, updates), **arguments)


def learning_rate_schedule(spec: Adapter, updates: int) -> Any:
    """Return the learning rate: a number, or a function of the number of updates."""
    main = _schedule_after_warmup(spec, max(1, updates - spec.warmup))
    if not spec.warmup:
        return main
    warmup = schedulers.linear_schedule(spec.warmup_init, spec.learning_rate, spec.warmup)
    return schedulers.join_schedules([warmup, main if callable(main) else lambda _: mx.array(main)], [spec.warmup])


def _schedule_after_warmup(spec: Adapter, updates: int) -> Any:
    learning_rate = spec.learning_rate
    match spec.lr_schedule:
        case CosineDecay(end=end, steps=steps):
            return schedulers.cosine_decay(learning_rate, steps or updates, end)
        case Linear(end=end, steps=steps):
            return schedulers.linear_schedule(learning_rate, end, steps or updates)
        case ExponentialDecay(rate=factor):
            return schedulers.exponential_decay(learning_rate, factor)
        case StepDecay(rate=factor, every=every):
            return schedulers.step_decay(learning_rate, factor, every)
        case Constant():
            return learning_rate


def load_arrays(path: str) -> dict[str, mx.array]:
    """Read all arrays of a safetensors file. Raises RuntimeError if it is truncated."""
    arrays = mx.load(path)
    assert isinstance(arrays, dict)
    mx.eval(arrays)
    return arrays


def restore(model: nn.Module, optimizer: Any, arrays: dict[str, mx.array]) -> None:
    """Set the weights of a model and the state of its optimizer to those of a checkpoint."""
    weights = [(name.removeprefix("weights."), value) for name, value in arrays.items() if name.startswith("weights.")]
    model.load_weights(weights, strict=False)
    optimizer.init(model.trainable_parameters())  # frozen modules leave empty branches that a flat file does not hold
    prefix = "optimizer."
    state = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    if differing := {name for name, _ in tree_flatten(optimizer.state)} ^ set(state):
        raise SystemExit(
            f"punie: the checkpoint is from another optimizer ({sorted(differing)[:3]}) - remove .punie/training"
        )
    optimizer.state = tree_map_with_path(lambda path, _: state[path], optimizer.state)
    mx.eval(model.parameters(), optimizer.state)
