from __future__ import annotations

import inspect

import pytest
from mlx import optimizers
from mlx_lm.lora import CONFIG_DEFAULTS

from punie_build.training.mlx_lm_defaults import BIAS_CORRECTION, MLX_LM, differing_defaults
from punie_build.training.optimizer_spec import Adam, Sgd
from punie_build.training.spec import Adapter


def phrases(**fields: object) -> str:
    return ", ".join(differing_defaults(Adapter(base="b", data="d", **fields)))


def test_the_defaults_of_mlx_lm_are_those_of_the_installed_one():
    assert CONFIG_DEFAULTS | MLX_LM == CONFIG_DEFAULTS
    for name in ("Adam", "AdamW"):
        assert inspect.signature(getattr(optimizers, name)).parameters["bias_correction"].default is BIAS_CORRECTION
    ours = {"batch_size": 4, "max_seq_length": 2048, "grad_accumulation_steps": 1, "optimizer": "adam", "seed": 0}
    assert CONFIG_DEFAULTS | ours == CONFIG_DEFAULTS, "these are equal, and no phrase names them"


def test_each_default_that_differs_is_named_with_that_of_mlx_lm():
    assert phrases() == (
        "iters 300 (1,000), learning_rate 0.0001 (1e-05), all layers (the last 16), bias_correction on (off), "
        "loss on every assistant turn (on all tokens)"
    )


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"epochs": 2.0}, "iters"),
        ({"learning_rate": 1e-5}, "learning_rate"),
        ({"num_layers": 16}, "layers"),
        ({"optimizer": Adam(bias_correction=False)}, "bias_correction"),
        ({"optimizer": Sgd()}, "bias_correction"),
        ({"mask": "all"}, "assistant"),
        ({"loss": "dpo"}, "assistant"),
    ],
)
def test_what_a_recipe_sets_is_not_named(fields, missing):
    assert missing not in phrases(**fields)
    assert len(phrases(**fields)) > 10
