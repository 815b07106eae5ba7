from __future__ import annotations

import json
from pathlib import Path

from punie_build.models.verify import base_signature, draft_problem, quantization_bits
from punie_build.storage import digests

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n"


def write_base(folder: Path, bits: int | None = None) -> Path:
    """Write the files of a base that its signature is read from."""
    folder.mkdir(exist_ok=True)
    quantization = {"quantization": {"bits": bits, "group_size": 64}} if bits else {}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | quantization))
    (folder / "tokenizer.json").write_text("a b c")
    return folder


def test_bits_are_those_of_the_quantization_or_sixteen(tmp_path):
    assert quantization_bits(write_base(tmp_path / "full")) == 16
    assert quantization_bits(write_base(tmp_path / "quantized", bits=4)) == 4


def test_a_git_lfs_pointer_stands_for_the_tokenizer_that_it_names(tmp_path):
    folder = write_base(tmp_path / "base")
    signature = base_signature(folder)
    (folder / "tokenizer.json").write_text(POINTER.format(signature.tokenizer))
    assert base_signature(folder) == signature
    assert digests.lfs_pointers(folder) == ["tokenizer.json"]


def write_vocabulary(folder: Path, *words: str, as_list: bool = False, added: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    ids: object = [[word, -1.0] for word in words] if as_list else {word: number for number, word in enumerate(words)}
    tokens = [{"id": len(words) + number, "content": word} for number, word in enumerate(added)]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": ids}, "added_tokens": tokens}))
    return folder


def test_a_draft_of_another_vocabulary_is_a_problem(tmp_path):
    words = [f"w{number}" for number in range(300)]
    model = write_vocabulary(tmp_path / "model", *words, added=("<eos>",))
    assert draft_problem(model, write_vocabulary(tmp_path / "same", *words, added=("<eos>", "<think>"))) is None
    assert draft_problem(model, write_vocabulary(tmp_path / "list", *words, as_list=True)) is None
    moved = draft_problem(model, write_vocabulary(tmp_path / "moved", *words[::-1]))
    assert moved is not None
    assert moved.startswith("it numbers 300 of 300 tokens otherwise")
    assert draft_problem(model, write_vocabulary(tmp_path / "larger", *words, *map(str, range(99)))) is not None
    assert draft_problem(model, tmp_path) is None
