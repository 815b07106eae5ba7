from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest

from punie_build.data.verify import data
from punie_build.evaluation.spec import Eval, Sampling
from punie_build.evaluation.verify import answers, scores
from punie_build.models.safetensors import header
from punie_build.models.verify import base, bits, pointers
from punie_build.training.spec import Adapter, Lora
from punie_build.training.verify import adapter

SPEC = Adapter(base="nano", data="d", lora=Lora(rank=4, scale=10.0), num_layers=2)


def write(
    folder: Path,
    rank: int = 4,
    layers: int = 2,
    more: dict | None = None,
    metadata: dict | None = None,
    **written: object,
) -> Path:
    """An adapter as the trainer writes it; `written` are other LoRA parameters, `more` what else its config says."""
    folder.mkdir(exist_ok=True)
    tensors, offset = {}, 0
    for layer in range(layers):
        for name, shape in (
            (f"model.layers.{layer}.self_attn.q_proj.lora_a", [8, rank]),
            (f"model.layers.{layer}.self_attn.q_proj.lora_b", [rank, 8]),
        ):
            size = 4 * shape[0] * shape[1]
            tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps((metadata or {}) | tensors).encode()
    (folder / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    parameters = {"rank": rank, "scale": 10.0, "dropout": 0.0} | written
    config = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters} | (more or {})
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def model(folder: Path, bits: int | None = None, words: str = "a b c") -> Path:
    """A base, as far as conformance looks at it."""
    folder.mkdir(exist_ok=True)
    quantization = {"quantization": {"bits": bits, "group_size": 64}} if bits else {}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | quantization))
    (folder / "tokenizer.json").write_text(words)
    return folder


def test_what_the_recipe_says_is_what_the_file_has(tmp_path):
    assert list(adapter(write(tmp_path), SPEC)) == []
    assert len(header(tmp_path / "adapters.safetensors")) == 4


@pytest.mark.parametrize("metadata", [None, {}, {"format": "mlx"}])
def test_what_is_said_about_a_file_in_its_header_is_no_tensor(tmp_path, metadata):
    """mlx writes null."""
    assert list(adapter(write(tmp_path, metadata={"__metadata__": metadata}), SPEC)) == []


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
    assert list(adapter(tmp_path, SPEC)) == ["adapters.safetensors: No such file or directory"]


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"x": 1}', '{"x": {}}', '{"x": {"shape": 3}}', "\xff", "{"])
def test_whatever_the_files_hold_is_a_line_and_no_traceback(tmp_path, text: str):
    path = write(tmp_path) / "adapters.safetensors"
    path.write_bytes(struct.pack("<Q", len(text.encode("latin-1"))) + text.encode("latin-1"))
    assert list(adapter(tmp_path, SPEC))
    write(tmp_path)
    (tmp_path / "adapter_config.json").write_text(text)
    assert list(adapter(tmp_path, SPEC))
    for name in ("stats.json", "scores.json", "answers.jsonl"):
        (tmp_path / name).write_text(text)
    assert list(data(tmp_path, None))
    assert list(scores(tmp_path, None))


def test_a_vector_in_the_place_of_a_matrix_is_no_rank(tmp_path):
    tensors = {"model.layers.0.q.lora_a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(tensors).encode()
    (write(tmp_path) / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    assert "rank: recipe 4, file [0]" in list(adapter(tmp_path, SPEC))


def test_another_way_to_train_is_found(tmp_path):
    told = list(adapter(write(tmp_path, more={"fine_tune_type": "dora"}), SPEC))
    assert told == ["fine_tune_type: recipe lora, adapter_config.json dora"]
    told = list(adapter(write(tmp_path, dropout=0.5), SPEC))
    assert told == ["dropout: recipe 0.0, adapter_config.json 0.5"]


def test_all_layers_are_as_many_as_were_trained(tmp_path):
    every = msgspec.structs.replace(SPEC, num_layers=-1)
    assert list(adapter(write(tmp_path, layers=3), every)) == []
    assert list(adapter(write(tmp_path, layers=3, more={"num_layers": 4}), every)) == ["layers: recipe 4, file 3"]


def test_bits_are_those_of_the_quantisation_or_sixteen(tmp_path):
    assert bits(model(tmp_path / "whole")) == 16
    assert bits(model(tmp_path / "small", bits=4)) == 4


def test_another_tokenizer_or_other_bits_of_the_base_are_found(tmp_path):
    first = model(tmp_path / "base", bits=4)
    trained = write(tmp_path / "adapter", more={"base": base(first)})
    assert list(adapter(trained, SPEC, first)) == []
    told = list(adapter(trained, SPEC, model(tmp_path / "base", bits=8)))
    assert told == ["base.bits: nano has 8, the adapter was trained on 4"]
    [line] = adapter(trained, SPEC, model(tmp_path / "base", bits=4, words="a b"))
    assert line.startswith("base.tokenizer: nano has ")
    assert base(first)["tokenizer"][:12] in line
    untold = write(tmp_path / "adapter")
    assert "base.bits: nano has 4, the adapter was trained on (unknown)" in list(adapter(untold, SPEC, first))


def test_a_base_that_is_no_model_is_a_line(tmp_path):
    (tmp_path / "base").mkdir()
    trained = write(tmp_path / "adapter")
    assert list(adapter(trained, SPEC, tmp_path / "base")) == ["config.json: No such file or directory"]


def test_a_tokenizer_that_is_a_git_lfs_pointer_stands_for_itself(tmp_path):
    folder = model(tmp_path / "base")
    whole = base(folder)
    (folder / "tokenizer.json").write_text(POINTER.format(whole["tokenizer"]))
    assert base(folder) == whole
    assert pointers(folder) == ["tokenizer.json"]


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n"


def test_rows_are_held_against_the_statistics(tmp_path):
    splits = {"train": {"seen": 4, "kept": 3, "rows": 5}, "valid": {"seen": 1, "kept": 1, "rows": 1}}
    (tmp_path / "stats.json").write_text(json.dumps({"splits": splits, "messages": 9}))
    for name, rows in (("train", 5), ("valid", 1), ("dropped", 1)):
        (tmp_path / f"{name}.jsonl").write_text("{}\n" * rows)
    assert list(data(tmp_path, None)) == []
    (tmp_path / "train.jsonl").write_text("{}\n" * 4)
    (tmp_path / "valid.jsonl").unlink()
    (tmp_path / "dropped.jsonl").write_text("")
    assert list(data(tmp_path, None)) == [
        "train.jsonl: stats.json says 5 rows, the file has 4",
        "valid.jsonl: No such file or directory",
        "dropped.jsonl: stats.json says 1 rows, the file has 0",
    ]


def test_every_case_is_answered_and_judged_as_often_as_it_was_asked(tmp_path):
    once = Eval(arm="a", suite="s")
    twice = Eval(arm="a", suite="s", epochs=2, sampling=Sampling(temperature=1.0))
    (tmp_path / "scores.json").write_text(json.dumps({"cases": [{"case": "a", "score": 1.0}, {"case": "b"}]}))
    (tmp_path / "answers.jsonl").write_text('{"case": "b", "text": "x"}\n{"case": "a"}\n')
    assert [*answers(tmp_path, once), *scores(tmp_path, once)] == []
    assert list(answers(tmp_path, twice)) == ["answers.jsonl: not 2 to each case: b, a"]
    assert list(scores(tmp_path, twice)) == ["scores.json: 2 cases are judged: not 2 answers to each"]
    (tmp_path / "answers.jsonl").write_text('{"case": "b"}\n{"case": "b"}\n')
    assert list(answers(tmp_path, once)) == ["answers.jsonl: not 1 to each case: b"]
    (tmp_path / "answers.jsonl").write_text("")
    assert list(answers(tmp_path, once)) == ["answers.jsonl: not 1 to each case: none at all"]
