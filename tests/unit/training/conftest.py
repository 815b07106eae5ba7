from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie_build.training import token_file
from punie_build.training.token_file import TokenRows
from tests.support.tiny_training import write_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Path:
    """Return a folder with a base in `base` and its tokens in `tokens`."""
    folder: Path = tmp_path_factory.mktemp("training")
    write_inputs(folder)
    return folder


@pytest.fixture
def rows(inputs) -> TokenRows:
    """Return the training rows."""
    return token_file.load(inputs / "tokens/train.safetensors")


@pytest.fixture(autouse=True)
def _layers_as_they_are() -> Iterator[None]:
    """Restore the class of a layer after a test: gradient checkpointing changes it."""
    module = sys.modules.get("mlx_lm.models.llama")
    compute = module.TransformerBlock.__call__ if module else None
    yield
    if module:
        module.TransformerBlock.__call__ = compute
