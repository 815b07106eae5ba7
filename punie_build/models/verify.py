"""KeyInputs of a model folder that an adapter trained on it must agree with."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.storage import digests


class _Quantization(Struct):
    bits: int = 16


class _Config(Struct):
    quantization: _Quantization | None = None


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
