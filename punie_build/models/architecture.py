"""The architecture of a base, read from its files without loading it."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.models.weights import Weight, read_tensors, weights

MAX_EXPANDED_PARAMETERS = 2**30  # whose float32 weights fit into the memory of most machines
PYTHON_TEMPLATES = ("muse_spark",)  # types of models whose template is in mlx-lm
IN_PYTHON = "a template in Python"
COUNTS = {  # what mlx-lm's models call the same number in config.json
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers"),
    "hidden_size": ("hidden_size", "n_embd", "d_model", "model_dim", "hidden_dim"),
    "attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "vocab_size": ("vocab_size", "num_vocab"),
    "positions": ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len"),
}
POSITION_TABLES = ("wpe", "embed_positions", "position_embedding", "position_embeddings")


class Architecture(Struct, frozen=True, kw_only=True):
    """Facts of a base.

    `weight_bytes` is the size of all weights, `half_precision` whether they are float16 or bfloat16. `chat_template`
    is "" if there is none. `special_tokens` are those added to the vocabulary, and those of the vocabulary that look
    like markup. `positions` is the longest text that it knows in tokens, 0 if unknown; with `position_table` it has
    learned each, and computes no others.
    """

    layers: int
    weights: tuple[Weight, ...]
    weight_bytes: int
    half_precision: bool
    hidden_size: int
    vocab_size: int
    attention_heads: int
    chat_template: str
    special_tokens: frozenset[str]
    positions: int = 0
    position_table: bool = False

    @property
    def parameters(self) -> int:
        """Number of weights that mlx-lm loads."""
        return sum(weight.count for weight in self.weights if weight.kind != "foreign")

    @property
    def modules(self) -> dict[str, tuple[int, int]]:
        """The linear modules of any layer, experts among them: name -> (outputs, inputs)."""
        linear = (weight for weight in self.weights if _is_adaptable(weight))
        return {weight.module: (weight.shape[-2], weight.shape[-1]) for weight in linear}

    def last_layers(self, count: int) -> list[Weight]:
        """Return the weights of the last `count` layers, -1 for all."""
        first = 0 if count == -1 else self.layers - count
        return [weight for weight in self.weights if weight.layer is not None and weight.layer >= first]

    def adapted(self, count: int, keys: Collection[str] | None) -> list[Weight]:
        """Return the weights that a LoRA of the last `count` layers is for: of all linear modules, or of `keys`."""
        layers = (weight for weight in self.last_layers(count) if _is_adaptable(weight))
        return [weight for weight in layers if keys is None or weight.module in keys]


def _is_adaptable(weight: Weight) -> bool:
    return weight.layer is not None and weight.kind in ("linear", "experts")


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
    chat_template_type: str | None = None


@lru_cache(maxsize=8)
def read_architecture(folder: Path) -> Architecture | None:
    """Return the architecture of a base, or None if its weights cannot be read, such as Git LFS pointers.

    The process that loads the base reports the error in such files.
    """
    try:
        tensors = read_tensors(folder)
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
        tokenizer = msgspec.json.decode((folder / "tokenizer.json").read_bytes(), type=_Tokenizer)
    except (OSError, ValueError):
        return None
    counts = {name: _count(config, names) for name, names in COUNTS.items()}
    found = weights(tensors, config, counts["layers"])
    positions = (weight.layer + 1 for weight in found if weight.layer is not None)
    counts |= {"layers": max(positions, default=counts["layers"]), "positions": _scaled(config, counts["positions"])}
    return Architecture(
        **counts,
        weights=found,
        weight_bytes=sum(weight.size for weight in found if weight.kind != "foreign"),
        half_precision=any(weight.dtype in ("F16", "BF16") for weight in found)
        and all(weight.bits == 16 for weight in found),
        chat_template=_chat_template(folder, config.get("model_type")),
        special_tokens=tokenizer.special_tokens,
        position_table=any(weight.module.rpartition(".")[2] in POSITION_TABLES for weight in found),
    )


def _count(config: dict[str, Any], names: tuple[str, ...]) -> int:
    """Return the first of these numbers in a config, or in the config of its language model; 0 if there is none."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for name in names:
            if isinstance(part.get(name), int):
                return int(part[name])
    return 0


def _scaled(config: dict[str, Any], positions: int) -> int:
    """Return the number of positions with the scaling of rotary embeddings in a config."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for scaling in (part.get("rope_scaling"), part.get("rope_parameters")):
            if isinstance(scaling, dict) and isinstance(factor := scaling.get("factor"), int | float):
                original = scaling.get("original_max_position_embeddings") or positions
                positions = max(positions, int(factor * original))
    return positions


def _chat_template(folder: Path, model_type: Any) -> str:
    """Return the chat template of a tokenizer, from its own file or from tokenizer_config.json; mlx-lm has some in
    Python."""
    if (path := folder / "chat_template.jinja").exists():
        return path.read_text(encoding="utf-8", errors="replace")  # `locate.gaps` reports it
    try:
        config = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes(), type=_TokenizerConfig)
    except (OSError, ValueError):
        return ""
    if config.chat_template_type or model_type in PYTHON_TEMPLATES:
        return IN_PYTHON
    template = config.chat_template
    if isinstance(template, list):  # several, by name
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), "")
    return template if isinstance(template, str) else ""
