from __future__ import annotations

import json
from pathlib import Path

from punie_build.models.verify import base_signature, quantization_bits
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
