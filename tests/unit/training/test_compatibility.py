from __future__ import annotations

import pytest
from mlx import nn

from punie_build.training.compatibility import BaseFacts, incompatibilities
from punie_build.training.loop import process
from punie_build.training.loop.lora import base_facts, load_trainable
from punie_build.training.spec import Lora
from tests.support.tiny_training import (
    ignore,
    spec,
    train_job,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 99}, "num_layers 99: the base has 2 layers - use -1 for all"),
        ({"lora": Lora(rank=33)}, "lora.rank 33: the widest module has width 32, which no rank can exceed - lower it"),
        (
            {"lora": Lora(keys=("self_attn.q",))},
            "lora.keys: the base has no module 'self_attn.q' - did you mean 'self_attn.q_proj'?",
        ),
        ({"batch_size": 22}, "batch_size 22: there are 21 training rows - lower it, or add data"),
        ({"ranks": 5}, "batch_size 4: 5 processes share a batch, and some would get no row - raise it"),
    ],
)
def test_settings_that_the_base_or_the_data_do_not_allow_end_the_training(inputs, tmp_path, changes, message):
    with pytest.raises(SystemExit) as exit_:
        process.run(train_job(inputs, tmp_path, spec(**changes)), ignore)
    assert str(exit_.value) == f"punie: {message}"


def test_all_incompatible_settings_are_reported_at_once():
    adapter = spec(num_layers=5, lora=Lora(rank=99), batch_size=50)
    problems = incompatibilities(adapter, BaseFacts(layers=2, widths={"q": 8}, rows=20))
    assert [problem.partition(" ")[0] for problem in problems] == ["num_layers", "lora.rank", "batch_size"]
    assert incompatibilities(adapter, BaseFacts()) == []


def test_full_training_of_a_quantized_base_is_incompatible(inputs):
    model, _ = load_trainable(spec(num_layers=1), str(inputs / "base"), 21)
    full = spec(fine_tune_type="full")
    assert incompatibilities(full, base_facts(model, 21)) == []
    nn.quantize(model, group_size=32, bits=4, class_predicate=lambda name, module: isinstance(module, nn.Linear))
    assert "the weights of a quantized base cannot be trained" in incompatibilities(full, base_facts(model, 21))[0]
    assert base_facts(model, 21).widths["self_attn.q_proj"] == 32
