"""Bases in GGUF: tiny files written with the package gguf, converted and held against the weights they were made of."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from punie_build.errors import ModelError
from punie_build.models import gguf_names
from punie_build.models.gguf_names import ARCHITECTURES
from punie_build.models.locate import available_folder, base_digest
from punie_build.models.spec import Base
from punie_build.models.tokenizer import load_tokenizer
from tests.support.tiny_bases import write_base

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
WORDS = ["<|end|>", "<|user|>", "a", "b", "ab", "Ġ", "Ġa", "c"]
TEMPLATE = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"


def write_gguf(path: Path, model_type: str = "llama", kind: str = "F32", **changes: Any) -> dict[str, np.ndarray]:
    """Write a tiny base as GGUF, and return its weights under the names of mlx-lm. `changes` are metadata."""
    sizes = changes.pop("sizes", {})
    config = write_base(path.parent / "source", model_type, tie_word_embeddings=True, **sizes)
    architecture = ARCHITECTURES[model_type]
    arch = architecture.name
    writer = gguf.GGUFWriter(str(path), changes.pop("arch", arch))
    fields = {
        "embedding_length": config["hidden_size"], "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"], "context_length": 512,
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
    }  # fmt: skip
    for name, value in fields.items():
        writer.add_uint32(f"{arch}.{name}", value)
    if head := config.get("head_dim"):
        writer.add_uint32(f"{arch}.attention.key_length", head)
    writer.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{arch}.rope.freq_base", 10000.0)
    writer.add_tokenizer_model(changes.pop("tokenizer", "gpt2"))
    writer.add_tokenizer_pre(changes.pop("pre", "qwen2"))
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 1, 1, 1, 1, 1, 1])
    writer.add_token_merges(["a b", "Ġ a"])
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    if scaling := changes.pop("scaling", None):
        writer.add_string(f"{arch}.rope.scaling.type", scaling)
    weights = {name: np.array(value) for name, value in mx.load(str(path.parent / "source/model.safetensors")).items()}
    heads = config["num_attention_heads"], config["num_key_value_heads"]
    for name, value in weights.items():
        own = gguf_names.gguf_name(architecture, name)
        assert own is not None, name
        stored = value + 1 if architecture.norms_add_one and name.endswith("norm.weight") else value
        if count := gguf_names.heads_of(architecture, own, *heads):
            stored = gguf_names.interleave(stored, count)
        quantized = gguf.GGMLQuantizationType[kind]
        if kind in ("F32", "F16") or stored.ndim == 1:
            writer.add_tensor(own, stored.astype(np.float16 if kind == "F16" and stored.ndim > 1 else np.float32))
        else:
            writer.add_tensor(own, gguf.quants.quantize(stored.astype(np.float32), quantized), raw_dtype=quantized)
    if extra := changes.pop("tensor", None):
        writer.add_tensor(extra, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma"])
def test_a_file_becomes_the_base_that_it_was_made_of(tmp_path, model_type):
    write_gguf(tmp_path / "a.gguf", model_type)
    converted, _ = load_model(Base(gguf="a.gguf").locate(tmp_path))
    source, _ = load_model(tmp_path / "source")
    inputs = mx.array([[1, 2, 3, 4, 5]])
    assert np.abs(np.array(converted(inputs)) - np.array(source(inputs))).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "error"), [("F16", 1e-3), ("Q8_0", 0.02), ("Q4_0", 0.2), ("Q4_1", 0.2), ("BF16", 0.01)]
)
def test_each_type_of_tensor_is_expanded(tmp_path, kind, error):
    weights = write_gguf(tmp_path / "a.gguf", "qwen2", kind)
    folder = Base(gguf="a.gguf").locate(tmp_path)
    converted = dict(tree_flatten(load_model(folder)[0].parameters()))
    for name, value in weights.items():
        actual = np.array(converted[name].astype(mx.float32))
        assert np.abs(actual - value).max() <= error * np.abs(value).max() + 1e-6


def test_a_large_file_is_converted_in_bounded_memory(tmp_path):
    write_gguf(tmp_path / "a.gguf", "qwen3", "Q8_0", sizes={"intermediate_size": 8192})
    tracemalloc.start()
    try:
        folder = Base(gguf="a.gguf").locate(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = (folder / "model.safetensors").stat().st_size
    assert size > 12 * 2**20
    assert peak < size / 2


def test_tokenizer_and_template_are_those_of_the_metadata(tmp_path):
    write_gguf(tmp_path / "a.gguf")
    tokenizer = load_tokenizer(Base(gguf="a.gguf").locate(tmp_path))
    assert tokenizer.encode("ab a", add_special_tokens=False) == [4, 6]
    assert tokenizer.apply_chat_template([{"role": "user", "content": "c"}], tokenize=False) == "<|user|>c<|end|>"
    assert tokenizer.encode("<|user|>c<|end|>", add_special_tokens=False) == [1, 7, 0]
    assert tokenizer.eos_token_ids == {0}


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path):
    write_gguf(tmp_path / "a.gguf")
    base = Base(gguf="a.gguf")
    assert available_folder(tmp_path, base) is None
    folder = base.locate(tmp_path)
    before = (folder / "config.json").stat().st_mtime_ns
    assert base.locate(tmp_path) == folder == available_folder(tmp_path, base)
    assert (folder / "config.json").stat().st_mtime_ns == before
    first = base_digest(tmp_path, base)
    write_gguf(tmp_path / "a.gguf", kind="F16")
    assert base_digest(tmp_path, base) != first
    assert base.locate(tmp_path) != folder
    assert base_digest(tmp_path, Base(gguf="b.gguf")) == "absent"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "mamba"}, "architecture is mamba"),
        ({"pre": "a-new-one"}, "a-new-one"),
        ({"tokenizer": "bert"}, "bert"),
        ({"scaling": "longrope"}, "longrope"),
        ({"tensor": "rope_freqs.weight"}, "rope_freqs.weight are not those of Llama 3"),
        ({"tensor": "rope_factors_long.weight"}, "rope_factors_long.weight"),
    ],
)
def test_what_is_not_known_of_a_file_is_refused_by_its_name(tmp_path, changes, words):
    write_gguf(tmp_path / "a.gguf", **changes)
    with pytest.raises(ModelError, match=rf"a\.gguf: .*{words}"):
        Base(gguf="a.gguf").locate(tmp_path)
    assert available_folder(tmp_path, Base(gguf="a.gguf")) is None


def test_a_file_that_is_cut_off_is_a_sentence(tmp_path):
    write_gguf(tmp_path / "a.gguf")
    content = (tmp_path / "a.gguf").read_bytes()
    (tmp_path / "a.gguf").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="copy it again"):
        Base(gguf="a.gguf").locate(tmp_path)


def test_pieces_of_sentencepiece_are_joined_by_their_scores(tmp_path):
    from punie_build.models import gguf_tokenizer

    words = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "<0x41>"]
    metadata = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": words, "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -5.0, -4.0, -3.0, -1.0, -2.0, 0.0],
        "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1, 6],
    }  # fmt: skip
    gguf_tokenizer.write(metadata, tmp_path)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode("abA").ids == [1, 7, 8]
    assert tokenizer.decode([7, 8]) == "abA"
    assert json.loads((tmp_path / "tokenizer_config.json").read_bytes())["bos_token"] == "<s>"
