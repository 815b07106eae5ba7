from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec

from punie_build.adapters import Adapter, Lora
from punie_build.conformance import adapter, header

SPEC = Adapter(base="nano", data="d", lora=Lora(rank=4, scale=10.0), num_layers=2)


def write(folder: Path, rank: int = 4, layers: int = 2, **written: object) -> Path:
    tensors, offset = {}, 0
    for layer in range(layers):
        for name, shape in (
            (f"model.layers.{layer}.self_attn.q_proj.lora_a", [8, rank]),
            (f"model.layers.{layer}.self_attn.q_proj.lora_b", [rank, 8]),
        ):
            size = 4 * shape[0] * shape[1]
            tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps(tensors).encode()
    (folder / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    (folder / "adapter_config.json").write_text(
        json.dumps({"num_layers": layers, "lora_parameters": {"rank": rank, "scale": 10.0, "dropout": 0.0} | written})
    )
    return folder


def test_what_the_recipe_says_is_what_the_file_has(tmp_path):
    assert list(adapter(write(tmp_path), SPEC)) == []
    assert len(header(tmp_path / "adapters.safetensors")) == 4


def test_a_rank_that_never_reached_the_trainer_is_found(tmp_path):
    assert "rank: recipe 4, file [8]" in list(adapter(write(tmp_path, rank=8), SPEC))


def test_layers_scale_dropout_and_keys_are_read_back(tmp_path):
    assert list(adapter(write(tmp_path, layers=3), SPEC)) == ["layers: recipe 2, file 3"]
    assert list(adapter(write(tmp_path, scale=20.0), SPEC)) == ["scale: recipe 10.0, adapter_config.json 20.0"]
    keys = msgspec.structs.replace(SPEC, lora=Lora(rank=4, scale=10.0, keys=("self_attn.v_proj",)))
    assert list(adapter(write(tmp_path), keys)) == ["keys: recipe ['self_attn.v_proj'], file ['self_attn.q_proj']"]


def test_a_torn_file_is_no_adapter(tmp_path):
    path = write(tmp_path) / "adapters.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "not a whole safetensors file" in next(adapter(tmp_path, SPEC))
    path.write_bytes(b"abc")
    assert "not a whole safetensors file" in next(adapter(tmp_path, SPEC))
    path.unlink()
    assert "No such file" in next(adapter(tmp_path, SPEC))
