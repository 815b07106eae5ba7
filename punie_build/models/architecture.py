"""Anatomy: what the files of a base tell of it without loading it: layers, the sizes of their modules, template, tokens."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.models import safetensors

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)\.weight$")


class Anatomy(Struct, frozen=True, kw_only=True):
    """`modules` maps each linear module of a layer to its (outputs, inputs); `size` is of all weights in bytes, `halves` whether they
    are halves; `hidden`, `vocabulary` and `heads` are those of config.json. `template` is the chat template's text, "" for none;
    `tokens` are those that stand for a whole word of markup."""

    layers: int
    modules: dict[str, tuple[int, int]]
    parameters: int
    size: int
    halves: bool
    hidden: int
    vocabulary: int
    heads: int
    template: str
    tokens: frozenset[str]


class _Quantised(Struct):
    bits: int = 16


class _Config(Struct):
    num_hidden_layers: int = 0
    hidden_size: int = 0
    vocab_size: int = 0
    num_attention_heads: int = 0
    quantization: _Quantised | None = None
    text_config: dict[str, Any] | None = None


class _Added(Struct):
    content: str


class _Words(Struct):
    vocab: Any = None


class _Tokenizer(Struct):
    added_tokens: list[_Added] = []
    model: _Words = msgspec.field(default_factory=_Words)


class _Settings(Struct):
    chat_template: Any = None


@lru_cache(maxsize=8)
def anatomy(folder: Path) -> Anatomy | None:
    """None where the weights cannot be read: Git LFS pointers, a torn file. What is wrong with those is said by who loads them."""
    try:
        found = [safetensors.header(path) for path in sorted(folder.glob("*.safetensors"))]
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
        if config.text_config and not config.num_hidden_layers:
            config = msgspec.convert({**config.text_config, "quantization": config.quantization}, _Config)
        tokenizer = msgspec.json.decode((folder / "tokenizer.json").read_bytes(), type=_Tokenizer)
    except (OSError, ValueError):
        return None
    tensors = {name: tensor for header in found for name, tensor in header.items()}
    bits = config.quantization.bits if config.quantization else 16
    modules: dict[str, tuple[int, int]] = {}
    layers = 0
    parameters = size = 0
    for name, tensor in tensors.items():
        packed = 32 // bits if tensor["dtype"] == "U32" and bits < 16 else 1
        shape = [*tensor["shape"][:-1], tensor["shape"][-1] * packed] if tensor["shape"] else []
        if not name.endswith((".scales", ".biases")):
            parameters += math.prod(shape)
        size += tensor["data_offsets"][1] - tensor["data_offsets"][0]
        if match := LAYER.search(name):
            layers = max(layers, int(match[1]) + 1)
            if len(shape) > 1:
                modules[match[2]] = (shape[-2], shape[-1])
    words = tokenizer.model.vocab if isinstance(tokenizer.model.vocab, dict) else {}
    return Anatomy(
        layers=config.num_hidden_layers or layers,
        modules=modules,
        parameters=parameters,
        size=size,
        halves=any(tensor["dtype"] in ("F16", "BF16") for tensor in tensors.values()) and bits == 16,
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
        heads=config.num_attention_heads,
        template=_template(folder),
        tokens=frozenset([*(added.content for added in tokenizer.added_tokens), *(w for w in words if w[:1] in "<[")]),
    )


def _template(folder: Path) -> str:
    """The chat template of a tokenizer: a file beside it, or in its configuration."""
    if (path := folder / "chat_template.jinja").exists():
        return path.read_text(encoding="utf-8")
    try:
        found = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes(), type=_Settings).chat_template
    except (OSError, ValueError):
        return ""
    if isinstance(found, list):  # several, by name
        found = next((each.get("template") for each in found if each.get("name") == "default"), "")
    return found if isinstance(found, str) else ""
