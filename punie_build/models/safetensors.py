"""Headers: what the files of a model or an adapter say of themselves, without their weights."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import msgspec

T = TypeVar("T")


class Tensor(TypedDict):
    """A tensor in the header of a safetensors file; offsets count from the header's end."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. Raises ValueError on a torn file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > size - 8:
            raise ValueError("not a whole safetensors file")
        text = file.read(length)
    try:
        named = msgspec.json.decode(text, type=dict[str, Any])
        named.pop("__metadata__", None)  # texts, or null as mlx writes it
        tensors = msgspec.convert(named, dict[str, Tensor])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"no header of a safetensors file ({error})") from None
    if max((t["data_offsets"][1] for t in tensors.values()), default=0) != size - 8 - length:
        raise ValueError("not a whole safetensors file")
    return tensors


def as_(wanted: type[T]) -> Callable[[Path], T]:
    return lambda path: msgspec.json.decode(path.read_bytes(), type=wanted)


def read(path: Path, reader: Callable[[Path], T]) -> T:
    """What the reader makes of a file. Raises ValueError naming the file, without the folder: reports hold no path."""
    try:
        return reader(path)
    except OSError as error:
        name = Path(error.filename).name if error.filename else path.name
        raise ValueError(f"{name}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None
