"""Tokenizers that mlx-lm or transformers refuse are a sentence."""

from __future__ import annotations

import json
import shutil

import pytest

from punie_build.errors import ModelError
from punie_build.models.architecture import read_architecture
from punie_build.models.tokenizer import load_tokenizer
from punie_build.storage import paths


@pytest.fixture
def base(tmp_path):
    return shutil.copytree(paths.nano(), tmp_path / "base", ignore=shutil.ignore_patterns("__pycache__", "*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "no json"),
        ("config.json", '{"model_type": "mamba2", "hidden_size": 64, "num_heads": 3, "head_dim": 64, "expand": 2}'),
    ],
)
def test_a_tokenizer_that_is_refused_is_a_sentence(base, file, text):
    (base / file).write_text(text)
    with pytest.raises(ModelError) as refused:
        load_tokenizer(base)
    message = str(refused.value)
    assert message.startswith("base: no tokenizer can be loaded (")
    assert "\n" not in message


def test_a_tokenizer_without_a_template_is_refused(base):
    (base / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="base: its tokenizer has no chat template"):
        load_tokenizer(base)
    assert read_architecture(base).chat_template == ""


def test_a_template_in_python_is_a_chat_template(base):
    (base / "chat_template.jinja").unlink()
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template_type": "deepseek_v32"}))
    assert read_architecture(base).chat_template == "a template in Python"
    assert load_tokenizer(base).has_chat_template
