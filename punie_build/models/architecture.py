"""The architecture of a base, read from its files without loading it."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.models.safetensors import TensorHeader, read_header

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)\.weight$")


class Architecture(Struct, frozen=True, kw_only=True):
    """Facts of a base.

    `modules` maps each linear module of a layer to its (outputs, inputs). `weight_bytes` is the size of all weights,
    `half_precision` whether they are float16 or bfloat16. `chat_template` is "" if there is none. `special_tokens` are
    those added to the vocabulary, and those of the vocabulary that look like markup.
    """

    layers: int
    modules: dict[str, tuple[int, int]]
    parameters: int
    weight_bytes: int
    half_precision: bool
    hidden_size: int
    vocab_size: int
    attention_heads: int
    chat_template: str
    special_tokens: frozenset[str]


class _Quantization(Struct):
    bits: int = 16


class _Config(Struct):
    num_hidden_layers: int = 0
    hidden_size: int = 0
    vocab_size: int = 0
    num_attention_heads: int = 0
    quantization: _Quantization | None = None
    text_config: dict[str, Any] | None = None


class _AddedToken(Struct):
    content: str


class _TokenizerModel(Struct):
    vocab: Any = None


class _Tokenizer(Struct):
    added_tokens: list[_AddedToken] = []
    model: _TokenizerModel = msgspec.field(default_factory=_TokenizerModel)

    @property
    def special_tokens(self) -> frozenset[str]:
        vocabulary = self.model.vocab if isinstance(self.model.vocab, dict) else {}
        markup = (token for token in vocabulary if token[:1] in "<[")
        return frozenset([*(token.content for token in self.added_tokens), *markup])


class _TokenizerConfig(Struct):
    chat_template: Any = None


@lru_cache(maxsize=8)
def read_architecture(folder: Path) -> Architecture | None:
    """Return the architecture of a base, or None if its weights cannot be read, such as Git LFS pointers.

    The process that loads the base reports the error in such files.
    """
    try:
        headers = [read_header(path) for path in sorted(folder.glob("*.safetensors"))]
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
        if config.text_config and not config.num_hidden_layers:
            config = msgspec.convert({**config.text_config, "quantization": config.quantization}, _Config)
        tokenizer = msgspec.json.decode((folder / "tokenizer.json").read_bytes(), type=_Tokenizer)
    except (OSError, ValueError):
        return None
    tensors = {name: tensor for header in headers for name, tensor in header.items()}
    bits = config.quantization.bits if config.quantization else 16
    shapes = {name: _unpacked_shape(tensor, bits) for name, tensor in tensors.items()}
    matches = [(match, shapes[name]) for name in tensors if (match := LAYER.search(name))]
    return Architecture(
        layers=config.num_hidden_layers or max((int(match[1]) + 1 for match, _ in matches), default=0),
        modules={match[2]: (shape[-2], shape[-1]) for match, shape in matches if len(shape) > 1},
        parameters=sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith((".scales", ".biases"))),
        weight_bytes=sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in tensors.values()),
        half_precision=bits == 16 and any(tensor["dtype"] in ("F16", "BF16") for tensor in tensors.values()),
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        attention_heads=config.num_attention_heads,
        chat_template=_chat_template(folder),
        special_tokens=tokenizer.special_tokens,
    )


def _unpacked_shape(tensor: TensorHeader, bits: int) -> list[int]:
    """Return the shape of a tensor, with one entry for each weight that a quantized one packs into 32 bits."""
    shape = tensor["shape"]
    if not shape or tensor["dtype"] != "U32" or bits >= 16:
        return shape
    return [*shape[:-1], shape[-1] * (32 // bits)]


def _chat_template(folder: Path) -> str:
    """Return the chat template of a tokenizer, from its own file or from tokenizer_config.json."""
    if (path := folder / "chat_template.jinja").exists():
        return path.read_text(encoding="utf-8")
    try:
        config = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes(), type=_TokenizerConfig)
    except (OSError, ValueError):
        return ""
    template = config.chat_template
    if isinstance(template, list):  # several, by name
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), "")
    return template if isinstance(template, str) else ""
