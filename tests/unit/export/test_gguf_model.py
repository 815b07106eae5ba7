"""Bases and fused models as GGUF: read back as a base, computed with, and what GGUF cannot hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model

from punie_build.errors import ModelError
from punie_build.export import gguf_model, gguf_vocabulary
from punie_build.export.gguf_model import WRITABLE
from punie_build.export.spec import Model, gguf_problem
from punie_build.models import gguf_tokenizer
from punie_build.models.spec import Base
from punie_build.models.tokenizer import load_tokenizer
from punie_build.storage import paths
from tests.support.tiny_bases import write_base

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
TOKENS = [[*range(1, 60)]]


def logits(folder: Path) -> np.ndarray:
    return np.array(load_model(folder)[0](mx.array(TOKENS)).astype(mx.float32))


def changed(folder: Path, file: str, **changes: Any) -> None:
    """Change fields of a JSON file of a base; None removes one."""
    path = folder / file
    fields = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))


def test_the_architectures_are_those_that_are_read_back():
    assert WRITABLE == ["llama", "mistral", "qwen2", "qwen3", "gemma"]


@pytest.mark.parametrize(("model_type", "tied"), [("llama", False), ("qwen2", True), ("qwen3", False), ("gemma", True)])
@pytest.mark.slow
def test_a_file_becomes_the_base_that_it_was_written_from(tmp_path, model_type, tied):
    write_base(tmp_path / "source", model_type, tie_word_embeddings=tied, max_position_embeddings=512)
    assert gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf") == ()
    folder = Base(gguf="a.gguf").locate(tmp_path)
    assert np.abs(logits(folder) - logits(tmp_path / "source")).max() < 1e-5


LLAMA3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALINGS = {
    "linear": {"type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    "betas": {"type": "yarn", "factor": 2.5, "original_max_position_embeddings": 64, "beta_fast": 8, "beta_slow": 2},
    "llama3": LLAMA3 | {"original_max_position_embeddings": 8192},
    "short": LLAMA3 | {"original_max_position_embeddings": 100, "factor": 7.0},
    "thresholds": LLAMA3 | {"original_max_position_embeddings": 300, "low_freq_factor": 2.0, "high_freq_factor": 9.0},
}


@pytest.mark.parametrize(("model_type", "name"), [*(("llama", name) for name in SCALINGS), ("qwen2", "yarn")])
def test_scaled_rotary_frequencies_are_written_and_read_back(tmp_path, model_type, name):
    theta = 500000.0 if name == "llama3" else 500.0
    scaled = {"rope_scaling": SCALINGS[name], "rope_theta": theta, "max_position_embeddings": 512}
    write_base(tmp_path / "source", model_type, head_dim=32, **scaled)
    gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf")
    folder = Base(gguf="a.gguf").locate(tmp_path)
    expected = logits(tmp_path / "source")
    assert np.abs(logits(folder) - expected).max() < 1e-5
    changed(tmp_path / "source", "config.json", rope_scaling=None)
    assert np.abs(logits(tmp_path / "source") - expected).max() > 2e-5, "the scaling matters"


@pytest.mark.parametrize(("model_type", "name"), [("qwen2", "llama3"), ("gemma", "linear"), ("gemma", "yarn")])
def test_a_scaling_that_the_other_program_does_not_compute_is_refused(tmp_path, model_type, name):
    write_base(tmp_path / "source", model_type)
    changed(tmp_path / "source", "config.json", rope_scaling=SCALINGS[name])
    with pytest.raises(ModelError, match=f"scaled by {SCALINGS[name].get('rope_type') or 'linear'}, which is not"):
        gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf")


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16", None])
def test_each_precision_is_written_and_what_it_rounds_is_counted(tmp_path, precision):
    write_base(tmp_path / "source", "llama", mx.bfloat16)
    [*notes] = gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf", precision)
    reader = gguf.GGUFReader(str(tmp_path / "a.gguf"))
    kinds = {tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1}
    assert kinds == {(precision or "bf16").upper()}
    assert ["at most" in note for note in notes] == (
        [True] if precision == "f16" else []
    )  # tiny values of bfloat16 are below those of float16


def test_tokenizer_template_and_end_tokens_are_those_of_nano(tmp_path):
    gguf_model.write("base:nano", paths.nano(), tmp_path / "a.gguf")
    ours, theirs = (load_tokenizer(folder) for folder in (paths.nano(), Base(gguf="a.gguf").locate(tmp_path)))
    chat = [{"role": "user", "content": "Show me a.py"}, {"role": "assistant", "content": "It's héllo\n\t1234"}]
    assert ours.apply_chat_template(chat) == theirs.apply_chat_template(chat)
    fields = {name: field.contents() for name, field in gguf.GGUFReader(str(tmp_path / "a.gguf")).fields.items()}
    assert (fields["tokenizer.ggml.eos_token_id"], fields["tokenizer.ggml.eot_token_id"]) == (2, 0)
    assert fields["tokenizer.ggml.pre"] == "qwen2"


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("config.json", {"model_type": "olmo2"}, "architecture is olmo2"),
        ("config.json", {"quantization": {"bits": 4, "group_size": 64}}, "quantized by mlx to 4 bits"),
        ("config.json", {"rope_scaling": {"rope_type": "longrope", "factor": 8.0}}, "scaled by longrope"),
        ("config.json", {"rope_scaling": {"type": "yarn", "factor": 8.0, "mscale": 0.7}}, "yarn with mscale 0.7"),
        ("config.json", {"rope_scaling": {"type": "yarn"}}, "lacks the factor"),
        ("config.json", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ("config.json", {"layer_types": ["sliding_attention"]}, "sliding window"),
        ("config.json", {"max_position_embeddings": None}, "lacks max_position_embeddings"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "neither of bytes"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "pattern of its own"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "normalizes by Lowercase"),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": []}}, "is Unigram"),
    ],
)
def test_what_gguf_cannot_hold_is_refused_by_its_name(tmp_path, file, changes, words):
    write_base(tmp_path / "source", "llama")
    changed(tmp_path / "source", file, **changes)
    with pytest.raises(ModelError, match=f"base:b: .*{words}"):
        gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf")


def test_values_that_a_precision_cannot_hold_are_an_error(tmp_path):
    write_base(tmp_path / "source", "llama")
    weights = dict(mx.load(str(tmp_path / "source/model.safetensors")))
    weights["model.layers.0.mlp.up_proj.weight"] *= 1e9
    mx.eval(*weights.values())
    (tmp_path / "source/model.safetensors").unlink()
    mx.save_safetensors(str(tmp_path / "source/model.safetensors"), weights)
    with pytest.raises(ModelError, match=r"up_proj\.weight are too large for F16 - choose bf16"):
        gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf", "f16")


def test_another_tensor_or_tokenizer_that_is_read_back_is_an_error(tmp_path):
    write_base(tmp_path / "source", "llama")
    gguf_model.write("base:b", tmp_path / "source", tmp_path / "a.gguf")
    write_base(tmp_path / "source", "llama", mx.bfloat16)
    model = gguf_model._model("base:b", tmp_path / "source", "f32")
    with pytest.raises(ModelError, match="other shapes or values"):
        gguf_model._compare(model, tmp_path / "a.gguf")
    pre = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    changed(tmp_path / "source", "tokenizer.json", pre_tokenizer=pre)
    [line] = gguf_vocabulary.differences(tmp_path / "source", paths.nano())
    assert "the tokens of" in line


def test_pieces_of_sentencepiece_are_read_back_with_their_merges(tmp_path):
    words = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "a", "b", "c", "ab", "▁ab", "bc"]
    scores = [0.0, 0.0, 0.0, 0.0, -9.0, -8.0, -7.0, -6.0, -1.0, -2.0, -3.0]
    fields = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": words, "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1],
    }  # fmt: skip
    gguf_tokenizer.write(fields, tmp_path)
    written = gguf_vocabulary.metadata(tmp_path, len(words) + 1)
    assert written["tokenizer.ggml.tokens"] == [*words, "[PAD11]"]
    assert written["tokenizer.ggml.token_type"] == [*fields["tokenizer.ggml.token_type"], 5]
    assert written["tokenizer.ggml.add_bos_token"] is True
    again = tmp_path / "again"
    again.mkdir()
    gguf_tokenizer.write(written, again)
    assert list(gguf_vocabulary.differences(tmp_path, again)) == []


@pytest.mark.parametrize(("rope", "words"), [(None, ""), (SCALINGS["linear"], ""), (LLAMA3, "scaled by llama3")])
def test_the_gguf_of_mlx_is_refused_where_it_would_lack_the_scaling(rope, words):
    problem = gguf_problem(Model(base="b", gguf=True), {"model_type": "llama", "rope_scaling": rope})
    assert (words in problem) if words else problem is None
