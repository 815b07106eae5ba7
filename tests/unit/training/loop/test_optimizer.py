from __future__ import annotations

from typing import Any

import mlx.core as mx
import msgspec
import pytest
from mlx import optimizers

from punie_build.training.loop.optimizer import CLASSES, build_optimizer, learning_rate_schedule
from punie_build.training.optimizer_spec import (
    Adafactor,
    Adam,
    Adamw,
    CosineDecay,
    Muon,
    Sgd,
    StepDecay,
)
from punie_build.training.spec import Adapter
from tests.support.tiny_training import (
    spec,
)


@pytest.mark.parametrize("kind", [Adam, Adamw, Muon, Sgd, Adafactor])
def test_optimizers_have_the_fields_and_defaults_of_mlx(kind):
    import inspect

    theirs = dict(inspect.signature(CLASSES.get(kind, optimizers.Adam).__init__).parameters)
    theirs = {name: parameter.default for name, parameter in theirs.items() if name not in ("self", "learning_rate")}
    ours = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert set(ours) == set(theirs)
    own = {"bias_correction": True, "relative_step": False} | ({"momentum": 0.0} if kind is Sgd else {})
    for name, value in ours.items():
        default = tuple(theirs[name]) if isinstance(theirs[name], list) else theirs[name]
        assert value == own.get(name, default), name


def test_the_learning_rate_follows_warmup_and_schedule():
    def rates(*updates: int, **changes: Any) -> list[float]:
        rate = learning_rate_schedule(spec(learning_rate=1.0, **changes), 10)
        return [round(float(rate(mx.array(update)) if callable(rate) else rate), 4) for update in updates]

    assert rates(0, 9) == [1.0, 1.0]
    assert rates(0, 1, 2, 9, warmup=2) == [0.0, 0.5, 1.0, 1.0]
    assert rates(0, 1, 2, 6, 10, warmup=2, warmup_init=0.5, lr_schedule=CosineDecay()) == [0.5, 0.75, 1.0, 0.5, 0.0]
    assert rates(0, 1, 2, 4, lr_schedule=StepDecay(rate=0.5, every=2)) == [1.0, 1.0, 0.5, 0.25]


LIMITS: list[dict[str, Any]] = [
    {"type": name} | options
    for name, choices in {
        "adam": [{"betas": (0.0, 0.0)}, {"betas": (0.999999, 0.0)}, {"eps": 1e-37}, {"bias_correction": False}],
        "adamw": [{"betas": (0.0, 0.999)}, {"eps": 1e-37, "weight_decay": 0.0}, {"weight_decay": 100.0}],
        "muon": [{"momentum": 0.0}, {"momentum": 0.0, "nesterov": False}, {"ns_steps": 1}, {"ns_steps": 20}],
        "sgd": [{"momentum": 0.9, "nesterov": True}, {"dampening": 2.0}, {"weight_decay": 1.0, "momentum": 0.999}],
        "adafactor": [
            {"eps": (1e-37, 1e-37)},
            {"eps": (1.0, 1.0), "clip_threshold": 1e-6},
            {"decay_rate": 0.0},
            {"decay_rate": -5.0, "beta_1": 0.0},
            {"beta_1": 0.9, "scale_parameter": False},
            {"relative_step": True, "warmup_init": True},
        ],
    }.items()
    for options in ({}, *choices)
]


@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_what_a_recipe_accepts_is_computed_by_mlx(options):
    """Also where a weight has no gradient, as `lora_a` in the first update."""
    adapter = msgspec.convert(msgspec.to_builtins(spec(lr_schedule=CosineDecay())) | {"optimizer": options}, Adapter)
    optimizer = build_optimizer(adapter, 3)
    weights = {name: mx.ones(shape) for name, shape in (("a", (4, 3)), ("b", (3,)), ("experts", (2, 3, 4)))}
    for factor in (0.0, 1.0, -0.5):
        weights = optimizer.apply_gradients(
            {name: factor * mx.ones_like(array) for name, array in weights.items()}, weights
        )
        mx.eval(weights, optimizer.state)
    assert all(mx.all(mx.isfinite(array)).item() for array in weights.values())


@pytest.mark.parametrize(
    "options",
    [
        {"type": "adam", "eps": 1e-40},
        {"type": "adamw", "eps": 0.0},
        {"type": "adafactor", "eps": (1e-300, 1e-3)},
        {"type": "adafactor", "decay_rate": 0.5},
        {"type": "adafactor", "warmup_init": True},
        {"type": "sgd", "nesterov": True},
        {"type": "sgd", "nesterov": True, "momentum": 0.9, "dampening": 0.1},
    ],
    ids=str,
)
def test_what_would_be_refused_or_not_finite_is_a_mistake_of_the_recipe(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(spec()) | {"optimizer": options}, Adapter)
