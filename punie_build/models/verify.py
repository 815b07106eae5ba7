"""KeyInputs of a model folder that an adapter trained on it must agree with."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.storage import digests

MAX_OTHER_TOKENS = 0.01  # share of the tokens of a draft model


class _Quantization(Struct):
    bits: int = 16


class _Config(Struct):
    quantization: _Quantization | None = None


class _Token(Struct):
    content: str
    id: int


class _TokenizerModel(Struct):
    vocab: dict[str, int] | list[list[str | float]] = {}


class _Tokenizer(Struct):
    added_tokens: list[_Token] = []
    model: _TokenizerModel = msgspec.field(default_factory=_TokenizerModel)


class BaseSignature(Struct, frozen=True, kw_only=True):
    """Bits of a base's weights, and the digest of its tokenizer.json: another tokenizer maps the same text to other
    token ids."""

    bits: int | None = None
    tokenizer: str | None = None


def quantization_bits(folder: Path) -> int:
    """Return the bits per weight in a model's config.json; 16 if it names no quantization."""
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
    return config.quantization.bits if config.quantization else 16


def base_signature(folder: Path) -> BaseSignature:
    """Return the signature of a base. A Git LFS pointer counts as the file that it names."""
    return BaseSignature(bits=quantization_bits(folder), tokenizer=digests.of_pointed(folder / "tokenizer.json"))


def vocabulary(folder: Path) -> dict[int, str]:
    """Return the token of each id in a model's tokenizer.json. Raises OSError or ValueError."""
    tokenizer = msgspec.json.decode((folder / "tokenizer.json").read_bytes(), type=_Tokenizer)
    words = tokenizer.model.vocab
    pairs = words.items() if isinstance(words, dict) else ((str(word[0]), number) for number, word in enumerate(words))
    return {number: word for word, number in pairs} | {token.id: token.content for token in tokenizer.added_tokens}


def draft_problem(model: Path, draft: Path) -> str | None:
    """Return why a draft model cannot propose tokens to a model, or None: both must number the tokens equally, apart
    from few special ones."""
    try:
        tokens, proposed = vocabulary(model), vocabulary(draft)
    except (OSError, ValueError):  # the server reports a tokenizer that cannot be read
        return None
    others = sum(tokens.get(number) != token for number, token in proposed.items())
    if others <= MAX_OTHER_TOKENS * len(proposed):
        return None
    return (
        f"it numbers {others:,} of {len(proposed):,} tokens otherwise than the model - "
        "use a smaller model of the same family as draft"
    )
