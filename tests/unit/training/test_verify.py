from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from punie_build.models.safetensors import read_header
from punie_build.models.verify import base_signature
from punie_build.training.spec import Adapter, Lora
from punie_build.training.verify import adapter

SPEC = Adapter(base="nano", data="d", lora=Lora(rank=4, scale=10.0), num_layers=2)


def write_adapter(
    folder: Path,
    rank: int = 4,
    layers: int = 2,
    config: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    names: str = "model.layers.{}.self_attn.q_proj",
    **lora_parameters: float,
) -> Path:
    """Write an adapter as the trainer does, with these LoRA parameters and fields of its config changed."""
    folder.mkdir(exist_ok=True)
    tensors, offset = {}, 0
    for layer in range(layers):
        for name, shape in (
            (f"{names.format(layer)}.lora_a", [8, rank]),
            (f"{names.format(layer)}.lora_b", [rank, 8]),
        ):
            size = 4 * shape[0] * shape[1]
            tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps((metadata or {}) | tensors).encode()
    (folder / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    parameters = {"rank": rank, "scale": 10.0, "dropout": 0.0} | lora_parameters
    fields = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters} | (config or {})
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    return folder


def write_base(folder: Path, bits: int | None = None, vocabulary: str = "a b c") -> Path:
    """Write the files of a base that its signature is read from."""
    folder.mkdir(exist_ok=True)
    quantization = {"quantization": {"bits": bits, "group_size": 64}} if bits else {}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | quantization))
    (folder / "tokenizer.json").write_text(vocabulary)
    return folder


def test_an_adapter_as_its_recipe_says_has_no_differences(tmp_path):
    assert list(adapter(write_adapter(tmp_path), SPEC)) == []
    assert len(read_header(tmp_path / "adapters.safetensors")) == 4


@pytest.mark.parametrize("metadata", [None, {}, {"format": "mlx"}])
def test_the_metadata_of_a_header_are_no_tensor(tmp_path, metadata):
    """mlx writes null."""
    assert list(adapter(write_adapter(tmp_path, metadata={"__metadata__": metadata}), SPEC)) == []


def test_a_rank_that_never_reached_the_trainer_is_a_difference(tmp_path):
    assert "rank: recipe 4, file [8]" in list(adapter(write_adapter(tmp_path, rank=8), SPEC))


def test_layers_scale_and_keys_are_compared(tmp_path):
    assert list(adapter(write_adapter(tmp_path, layers=3), SPEC)) == ["layers: recipe 2, file 3"]
    assert list(adapter(write_adapter(tmp_path, scale=20.0), SPEC)) == ["scale: recipe 10.0, adapter_config.json 20.0"]
    keys = msgspec.structs.replace(SPEC, lora=Lora(rank=4, scale=10.0, keys=("self_attn.v_proj",)))
    assert list(adapter(write_adapter(tmp_path), keys)) == [
        "keys: recipe ['self_attn.v_proj'], file ['self_attn.q_proj']"
    ]


def test_a_truncated_file_is_a_line(tmp_path):
    path = write_adapter(tmp_path) / "adapters.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "not a whole safetensors file" in next(adapter(tmp_path, SPEC))
    path.write_bytes(b"abc")
    assert "not a whole safetensors file" in next(adapter(tmp_path, SPEC))
    path.unlink()
    assert list(adapter(tmp_path, SPEC)) == ["adapters.safetensors: No such file or directory"]


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"x": 1}', '{"x": {}}', '{"x": {"shape": 3}}', "\xff", "{"])
def test_any_content_of_the_files_is_a_line_and_no_traceback(tmp_path, text: str):
    path = write_adapter(tmp_path) / "adapters.safetensors"
    path.write_bytes(struct.pack("<Q", len(text.encode("latin-1"))) + text.encode("latin-1"))
    assert list(adapter(tmp_path, SPEC))
    write_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text(text)
    assert list(adapter(tmp_path, SPEC))


def test_a_vector_instead_of_a_matrix_has_no_rank(tmp_path):
    tensors = {"model.layers.0.q.lora_a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(tensors).encode()
    (write_adapter(tmp_path) / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    assert "rank: recipe 4, file [0]" in list(adapter(tmp_path, SPEC))


def test_another_kind_of_training_and_another_dropout_are_differences(tmp_path):
    lines = list(adapter(write_adapter(tmp_path, config={"fine_tune_type": "dora"}), SPEC))
    assert lines == ["fine_tune_type: recipe lora, adapter_config.json dora"]
    lines = list(adapter(write_adapter(tmp_path, dropout=0.5), SPEC))
    assert lines == ["dropout: recipe 0.0, adapter_config.json 0.5"]


def test_all_layers_are_as_many_as_the_config_says(tmp_path):
    every = msgspec.structs.replace(SPEC, num_layers=-1)
    assert list(adapter(write_adapter(tmp_path, layers=3), every)) == []
    lines = list(adapter(write_adapter(tmp_path, layers=3, config={"num_layers": 4}), every))
    assert lines == ["layers: recipe 4, file 3"]


def test_another_tokenizer_or_other_bits_of_the_base_are_differences(tmp_path):
    base = write_base(tmp_path / "base", bits=4)
    signature = base_signature(base)
    trained = write_adapter(tmp_path / "adapter", config={"base": msgspec.to_builtins(signature)})
    assert list(adapter(trained, SPEC, base)) == []
    lines = list(adapter(trained, SPEC, write_base(tmp_path / "base", bits=8)))
    assert lines == ["base.bits: nano has 8, the adapter was trained on 4"]
    [line] = adapter(trained, SPEC, write_base(tmp_path / "base", bits=4, vocabulary="a b"))
    assert line.startswith("base.tokenizer: nano has ")
    assert base_signature(base).tokenizer[:12] in line
    unknown = write_adapter(tmp_path / "adapter")
    assert "base.bits: nano has 4, the adapter was trained on (unknown)" in list(adapter(unknown, SPEC, base))


def test_a_base_without_a_model_is_a_line(tmp_path):
    (tmp_path / "base").mkdir()
    trained = write_adapter(tmp_path / "adapter")
    assert list(adapter(trained, SPEC, tmp_path / "base")) == ["config.json: No such file or directory"]


@pytest.mark.parametrize("layers", ["transformer.h", "transformer.blocks", "gpt_neox.layers", "block"])
def test_layers_are_counted_under_any_list(tmp_path, layers):
    path = write_adapter(tmp_path, names=f"{layers}.{{}}.attention.dense")
    assert list(adapter(path, SPEC)) == []
    keys = msgspec.structs.replace(SPEC, lora=Lora(rank=4, scale=10.0, keys=("attention.dense",)))
    assert list(adapter(path, keys)) == []
