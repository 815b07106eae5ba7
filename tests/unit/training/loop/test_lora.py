"""Bases that mlx-lm cannot train are refused in a sentence, before anything is computed."""

from __future__ import annotations

import json

import pytest

from punie_build.training.loop.lora import load_trainable
from punie_build.training.spec import Adapter, Lora
from tests.support import tiny_bases

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bitnet", "b: the last 4 layers have no module that mlx-lm can adapt - use another base"),
        ("recurrent_gemma", "b: mlx-lm cannot train this base (AttributeError: 'Model' object has no attribute"),
        ("afm7", "b: mlx-lm cannot train this base (it would load no adapter with model.layers.0.self_attn.qkv_proj"),
        ("gemma3n", "b: mlx-lm cannot train this base (AttributeError: 'LoRALinear' object has no attribute"),
    ],
)
def test_a_base_that_mlx_lm_cannot_train_is_refused_in_a_sentence(tmp_path, name, problem):
    tiny_bases.write_base(tmp_path, name)
    with pytest.raises(SystemExit) as refused:
        load_trainable(Adapter(base="b", data="d"), str(tmp_path), rows=10)
    assert str(refused.value).startswith(f"punie: {problem}")
    assert "\n" not in str(refused.value)


def test_the_keys_that_a_refusal_advises_can_be_trained(tmp_path):
    tiny_bases.write_base(tmp_path, "gemma3n")
    with pytest.raises(SystemExit) as refused:
        load_trainable(Adapter(base="b", data="d"), str(tmp_path), rows=10)
    keys = json.loads(str(refused.value).partition("lora.keys = ")[2].partition(", or")[0])
    assert len(keys) > 5
    _, layers = load_trainable(Adapter(base="b", data="d", lora=Lora(keys=tuple(keys))), str(tmp_path), rows=10)
    assert layers == 4


@pytest.mark.parametrize("name", ["nemotron_h", "gpt_bigcode", "nanochat"])
def test_other_bases_are_ready_to_be_trained(tmp_path, name):
    tiny_bases.write_base(tmp_path, name)
    model, layers = load_trainable(Adapter(base="b", data="d"), str(tmp_path), rows=10)
    assert layers == len(model.layers)
