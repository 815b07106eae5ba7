"""Updating: the optimiser of a training, made from its recipe, and brought back to where it was. Imported by the trainer."""

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


def optimizer(spec: Adapter, updates: int) -> Any:
    """The optimiser a recipe asks for, with its schedule over so many updates."""
    given = {name: value for name, value in msgspec.to_builtins(spec.optimizer).items() if name != "type"}
    if "betas" in given:
        given["betas"] = list(given["betas"])
    return CLASSES.get(type(spec.optimizer), optimizers.Adam)(learning_rate=schedule(spec, updates), **given)


def schedule(spec: Adapter, updates: int) -> Any:
    """The learning rate: a number, or a function of the updates made."""
    after = _after(spec, max(1, updates - spec.warmup))
    if not spec.warmup:
        return after
    rise = schedulers.linear_schedule(spec.warmup_init, spec.learning_rate, spec.warmup)
    return schedulers.join_schedules([rise, after if callable(after) else lambda _: mx.array(after)], [spec.warmup])


def _after(spec: Adapter, updates: int) -> Any:
    rate = spec.learning_rate
    match spec.lr_schedule:
        case CosineDecay(end=end, steps=steps):
            return schedulers.cosine_decay(rate, steps or updates, end)
        case Linear(end=end, steps=steps):
            return schedulers.linear_schedule(rate, end, steps or updates)
        case ExponentialDecay(rate=times):
            return schedulers.exponential_decay(rate, times)
        case StepDecay(rate=times, every=every):
            return schedulers.step_decay(rate, times, every)
        case Constant():
            return rate


def arrays(path: str) -> dict[str, mx.array]:
    """The arrays of a safetensors file, read whole. Raises RuntimeError where it is torn."""
    found = mx.load(path)
    assert isinstance(found, dict)
    mx.eval(found)
    return found


def resume(model: nn.Module, opt: Any, arrays: dict[str, mx.array]) -> None:
    """Put weights and optimiser where a checkpoint has them."""
    weights = [(name.removeprefix("weights."), value) for name, value in arrays.items() if name.startswith("weights.")]
    model.load_weights(weights, strict=False)
    opt.init(model.trainable_parameters())  # frozen modules leave empty branches that a flat file does not hold
    held = {name.removeprefix("optimizer."): value for name, value in arrays.items() if name.startswith("optimizer.")}
    missing = {name for name, _ in tree_flatten(opt.state)} ^ set(held)
    if missing:
        raise SystemExit(f"punie: a checkpoint of another optimiser ({sorted(missing)[:3]}) - remove .punie/training")
    opt.state = tree_map_with_path(lambda path, _: held[path], opt.state)
    mx.eval(model.parameters(), opt.state)
