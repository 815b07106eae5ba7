"""Adapters for other programs: PEFT, and LoRA of llama.cpp, read back, and computed with."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

from punie_build.errors import ModelError
from punie_build.export import gguf_adapter, lora, peft_adapter
from punie_build.models import gguf_names, tensor_file
from punie_build.models.gguf_names import ARCHITECTURES
from punie_build.training.adapter_formats import read_adapter
from tests.support.tiny_bases import write_base

needs_gguf = pytest.mark.skipif(not find_spec("gguf"), reason="the package gguf is not installed")
needs_peft = pytest.mark.skipif(not find_spec("peft") or not find_spec("torch"), reason="peft or torch is missing")
RANK, SCALE = 4, 3.0


def write_adapter(folder: Path, base: Path, kind: str = "lora", **config: Any) -> Path:
    """Write an adapter of random values for all modules in the layers of a base."""
    mx.random.seed(2)
    tensors, keys = {}, set()
    for name, value in mx.load(str(base / "model.safetensors")).items():
        if value.ndim == 2 and ".layers." in name:
            module = name.removesuffix(".weight")
            keys.add(module.split(".", 3)[3])
            outputs, inputs = value.shape
            tensors[f"{module}.lora_a"] = (mx.random.normal((inputs, RANK)) * 0.2).astype(value.dtype)
            tensors[f"{module}.lora_b"] = (mx.random.normal((RANK, outputs)) * 0.2).astype(value.dtype)
            if kind == "dora":
                tensors[f"{module}.m"] = mx.random.uniform(0.5, 1.5, (outputs,)).astype(value.dtype)
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
    parameters = {"rank": RANK, "scale": SCALE, "dropout": 0.0, "keys": sorted(keys)}
    fields = {"fine_tune_type": kind, "num_layers": 4, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(fields | config))
    return folder


def exported(tmp_path: Path, model_type: str, dtype: mx.Dtype = mx.float32, kind: str = "lora") -> lora.LoraAdapter:
    base = tmp_path / "base"
    write_base(base, model_type, dtype)
    return lora.read_lora("adapter:a", write_adapter(tmp_path / "a", base, kind), base)


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_matrices_reach_peft_with_every_bit(tmp_path, dtype, kind):
    adapter, out = exported(tmp_path, "llama", dtype, kind), tmp_path / "out"
    out.mkdir()
    peft_adapter.write(adapter, tmp_path / "base", "org/base", out)
    config = json.loads((out / "adapter_config.json").read_bytes())
    assert (config["r"], config["lora_alpha"], config["use_rslora"], config["use_dora"]) == (
        4,
        12,
        False,
        kind == "dora",
    )
    assert config["base_model_name_or_path"] == "org/base"
    assert "model.layers.3.mlp.down_proj" in config["target_modules"]
    theirs = tensor_file.load(out / "adapter_model.safetensors")
    for name, source in read_adapter(out).sources.items():
        expected = adapter.tensors[name]
        assert theirs[source].dtype == expected.dtype
        assert (theirs[source].bits == expected.bits.T).all()
    assert len(theirs) == len(adapter.tensors)


@needs_gguf
@pytest.mark.parametrize("model_type", sorted({*ARCHITECTURES} - {"mistral"}))  # mlx-lm computes mistral as llama
def test_llama_cpp_computes_the_update_of_mlx(tmp_path, model_type):
    from gguf import GGUFReader

    adapter = exported(tmp_path, model_type, mx.bfloat16 if model_type == "qwen2" else mx.float32)
    gguf_adapter.write(adapter, tmp_path / "a.gguf")
    reader = GGUFReader(str(tmp_path / "a.gguf"))
    facts = {name: field.contents() for name, field in reader.fields.items()}
    architecture = ARCHITECTURES[model_type]
    assert facts["general.architecture"] == architecture.name
    assert (facts["general.type"], facts["adapter.type"]) == ("adapter", "lora")
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    heads = adapter.config["num_attention_heads"], adapter.config["num_key_value_heads"]
    for module in adapter.modules:
        own = gguf_names.gguf_name(architecture, f"{module}.weight")
        a, b = tensors.pop(f"{own}.lora_a"), tensors.pop(f"{own}.lora_b")
        update = b @ a * (facts["adapter.lora.alpha"] / b.shape[-1])  # as llama.cpp: rank is the width of B
        mine, other = (adapter.tensors[f"{module}.lora_{side}"].values for side in "ab")
        expected = SCALE * (mine @ other).T
        if count := gguf_names.heads_of(architecture, own, *heads):
            expected = gguf_names.interleave(expected, count)
        assert np.abs(update - expected).max() < 1e-5
    assert not tensors


@needs_gguf
def test_what_llama_cpp_cannot_compute_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match="DoRA"):
        gguf_adapter.write(exported(tmp_path, "qwen3", kind="dora"), tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("model_type", "config", "words"),
    [("olmo2", {}, "base is olmo2"), ("llama", {"fine_tune_type": "full"}, "no tensor of this name|full training")],
)
def test_an_adapter_that_other_programs_do_not_know_is_refused_by_name(tmp_path, model_type, config, words):
    write_base(tmp_path / "base", model_type)
    folder = write_adapter(tmp_path / "a", tmp_path / "base", **config)
    with pytest.raises(ModelError, match=words):
        lora.read_lora("adapter:a", folder, tmp_path / "base")


def test_a_difference_that_is_read_back_is_an_error(tmp_path):
    adapter = exported(tmp_path, "llama")
    name, changed = min(adapter.tensors), dict(adapter.tensors)
    bits = changed[name].bits.copy()
    bits[0, 0] ^= 1
    changed[name] = tensor_file.Tensor("F32", bits)
    with pytest.raises(ModelError, match=f"other values: {name}"):
        lora.compare(adapter, SCALE, changed)
    with pytest.raises(ModelError, match="scale"):
        lora.compare(adapter, SCALE / 2, adapter.tensors)


@needs_peft
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_peft_computes_the_logits_of_mlx(tmp_path, kind):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter, base, out = exported(tmp_path, "qwen3", kind=kind), tmp_path / "base", tmp_path / "out"
    out.mkdir()
    peft_adapter.write(adapter, base, "base", out)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), out)
    with torch.no_grad():
        theirs = model(torch.tensor([[5, 6, 7, 8]])).logits.numpy()
    own, _ = load_model(base)
    plain = np.array(own(mx.array([[5, 6, 7, 8]])))
    load_adapters(own, str(tmp_path / "a"))
    difference = np.abs(np.array(own(mx.array([[5, 6, 7, 8]]))) - theirs).max()
    assert difference < 1e-3 < np.abs(plain - theirs).max() / 10
