"""Load the tokenizer of a base, as mlx-lm's server loads it; code in the folder of the base is never executed."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from punie_build.errors import ModelError


@cache
def load_tokenizer(folder: Path) -> Any:
    """Return mlx-lm's wrapper of a base's tokenizer, which knows the tokens that end generation.

    Raises ModelError if that fails, or if the base has no chat template.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # PyTorch is not needed
    from mlx_lm.utils import load_config, load_tokenizer

    try:
        tokenizer = load_tokenizer(folder, eos_token_ids=load_config(folder).get("eos_token_id"))
    except Exception as error:  # transformers raises many types
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"{folder.name}: no tokenizer can be loaded ({reason}) - "
            "compare its files with those of the original model, or use another base"
        ) from None
    if not tokenizer.has_chat_template:
        raise ModelError(f"{folder.name}: its tokenizer has no chat template - use a chat or instruct model")
    return tokenizer
