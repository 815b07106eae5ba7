from __future__ import annotations

import math

import mlx.core as mx
import msgspec
import pytest
from mlx import optimizers
from mlx_lm.lora import CONFIG_DEFAULTS

from punie_build.training.loop.optimizer import build_optimizer
from punie_build.training.optimizer_spec import Sgd
from punie_build.training.spec import Adapter, tokenized_for


def test_every_option_of_mlx_lm_is_a_field_or_listed_as_left_out():
    ours = {field.name for field in msgspec.structs.fields(Adapter)} | {"model", "optimizer_config", "lora_parameters"}
    elsewhere = {
        "train", "test", "test_batches", "config", "adapter_path",  # options of the command
        "resume_adapter_file",  # resumed from checkpoints
        "clear_cache_threshold",  # mlx-lm never reads it
        "mask_prompt",  # mask
        "trust_remote_code",  # never
    }  # fmt: skip
    assert set(CONFIG_DEFAULTS) == (set(CONFIG_DEFAULTS) & ours) | elsewhere
    defaults, own = (
        Adapter(base="b", data="d"),
        {"num_layers": -1, "learning_rate": 1e-4, "steps_per_eval": 100, "val_batches": -1},
    )
    for name in (
        "seed",
        "batch_size",
        "steps_per_report",
        "save_every",
        "max_seq_length",
        "grad_checkpoint",
        "grad_accumulation_steps",
    ):
        assert getattr(defaults, name) == CONFIG_DEFAULTS[name], name
    assert all(getattr(defaults, name) == value != CONFIG_DEFAULTS[name] for name, value in own.items())
    lora = CONFIG_DEFAULTS["lora_parameters"]
    assert {name: getattr(defaults.lora, name) for name in lora} == lora
    assert set(CONFIG_DEFAULTS["optimizer_config"]) == {"adam", "adamw", "muon", "sgd", "adafactor"}


def test_training_without_validation_rows_publishes_the_last_weights():
    with pytest.raises(ValueError, match='set keep = "last", and no early_stop'):
        Adapter(base="b", data="d", valid="none")
    spec = Adapter(base="b", data="d", valid="none", keep="last")
    assert tokenized_for(spec).name == "d@b-assistant-2048-train-only"
    assert tokenized_for(Adapter(base="b", data="d")).name == "d@b-assistant-2048"


@pytest.mark.parametrize("fields", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_mlx_and_a_recipe_refuse_the_same_nesterov(fields):
    with pytest.raises(ValueError, match="nesterov needs a momentum above 0, and no dampening"):
        Sgd(nesterov=True, **fields)
    with pytest.raises(ValueError, match="Nesterov"):
        optimizers.SGD(learning_rate=1.0, nesterov=True, **fields)
    build_optimizer(Adapter(base="b", data="d", optimizer=Sgd(**fields)), 10)
    build_optimizer(Adapter(base="b", data="d", optimizer=Sgd(nesterov=True, momentum=0.9)), 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"type": "adam", "eps": math.inf}},
        {"optimizer": {"type": "adamw", "weight_decay": math.inf}},
        {"optimizer": {"type": "adafactor", "decay_rate": -math.inf}},
        {"lr_schedule": {"type": "linear", "end": math.inf}},
        {"lora": {"scale": math.inf}},
        {"lora": {"keys": []}},
        {"max_grad_norm": math.inf},
        {"max_grad_norm": 1e-320},
        {"neftune_noise_alpha": math.inf},
        {"beta": math.inf},
        {"beta": math.nan},
        {"epochs": math.inf},
        {"iters": 2**63 - 1},
        {"tokens": 2**63 - 1},
        {"seed": -1},
        {"seed": 2**63 - 1},
    ],
    ids=str,
)
def test_a_number_that_no_training_can_compute_with_is_a_mistake(fields):
    """Infinite lengths would be walked through for ever; mlx takes no such seeds; the others give NaN or nothing."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"base": "b", "data": "d"} | fields, Adapter)
    mx.random.seed(2**40 * 1_000_003 + 10**7 + 64 * 7_919)


def test_a_pair_has_two_texts_in_the_largest_batch():
    batches = [
        Adapter(base="b", data="d", batch_size=3, loss=loss).largest_batch(100) for loss in ("cross-entropy", "dpo")
    ]
    assert batches == [300, 600]
