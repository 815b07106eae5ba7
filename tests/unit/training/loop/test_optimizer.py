from __future__ import annotations

from typing import Any

import mlx.core as mx
import msgspec
import pytest
from mlx import optimizers

from punie_build.training.loop.optimizer import CLASSES, learning_rate_schedule
from punie_build.training.optimizer_spec import (
    Adafactor,
    Adam,
    Adamw,
    CosineDecay,
    Muon,
    Sgd,
    StepDecay,
)
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
