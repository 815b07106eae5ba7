"""Headers of safetensors files, and readers of JSON files whose errors name the file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import msgspec

T = TypeVar("T")


class TensorHeader(TypedDict):
    """A tensor in the header of a safetensors file. Offsets count from the end of the header, in bytes."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(path: Path) -> dict[str, TensorHeader]:
    """Return the tensors of a safetensors file by name. Raises ValueError if the file is truncated or is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if length > size - 8:
            raise ValueError("not a whole safetensors file")
        text = file.read(length)
    try:
        header = msgspec.json.decode(text, type=dict[str, Any])
        header.pop("__metadata__", None)  # strings, or null as mlx writes it
        tensors = msgspec.convert(header, dict[str, TensorHeader])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"no header of a safetensors file ({error})") from None
    if max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0) != size - 8 - length:
        raise ValueError("not a whole safetensors file")
    return tensors


def json_as(type_: type[T]) -> Callable[[Path], T]:
    """Return a reader of JSON files of one type, for `read`."""
    return lambda path: msgspec.json.decode(path.read_bytes(), type=type_)


def read(path: Path, reader: Callable[[Path], T]) -> T:
    """Return the result of a reader. Raises ValueError that names the file without its folder: reports hold no path."""
    try:
        return reader(path)
    except OSError as error:
        name = Path(error.filename).name if error.filename else path.name
        raise ValueError(f"{name}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None
