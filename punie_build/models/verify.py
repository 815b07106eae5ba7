"""Facts of a model folder that an adapter trained on it must agree with: bits, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.storage import digests


def bits(folder: Path) -> int:
    """Bits of a model's weights by its config.json; 16 where it names no quantisation."""
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Model)
    return int((config.quantization or {}).get("bits", 16))


class _Model(Struct):
    quantization: dict[str, Any] | None = None


def base(folder: Path) -> dict[str, Any]:
    """What an adapter must know of the base it was trained on: another tokenizer makes other numbers of the same words."""
    return {"bits": bits(folder), "tokenizer": digests.of_pointed(folder / "tokenizer.json")}


def pointers(folder: Path) -> list[str]:
    """The files of a folder that are Git LFS pointers: what they hold is not here to be looked at."""
    small = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 1024)
    return [path.relative_to(folder).as_posix() for path in small if digests.LFS.match(path.read_bytes())]
