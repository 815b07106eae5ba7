"""Whole tensors of safetensors files, read and written bit by bit without mlx: numpy has no bfloat16."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from punie_build.models.safetensors import TensorHeader, read, read_header
from punie_build.models.weights import BYTES

FLOAT_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}  # those that numpy has
EXPONENTS = {"F64": 0x7FF0 << 48, "F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}  # all set in infinities and NaN


class Tensor(Struct, frozen=True):
    """A tensor: its `dtype` as safetensors names it, and its `bits` as unsigned integers of the same width."""

    dtype: str
    bits: NDArray[Any]

    @property
    def values(self) -> NDArray[Any]:
        """The floating-point values; those of bfloat16 as float32. Raises KeyError for other dtypes."""
        if self.dtype == "BF16":
            return (self.bits.astype(np.uint32) << 16).view(np.float32)
        return self.bits.view(FLOAT_TYPES[self.dtype])

    @property
    def transposed(self) -> Tensor:
        """The same values with the last two axes exchanged."""
        return Tensor(self.dtype, np.ascontiguousarray(np.swapaxes(self.bits, -1, -2)))

    def count_not_finite(self) -> int:
        """Return how many values are infinite or no number."""
        exponent = EXPONENTS.get(self.dtype)
        return 0 if exponent is None else int(((self.bits & exponent) == exponent).sum())


def of_floats(values: NDArray[Any], dtype: str) -> Tensor:
    """Return floating-point values as a tensor of this dtype; bfloat16 is rounded to the nearest, ties to even.

    Values that are too large for the dtype become infinite.
    """
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(values, dtype=FLOAT_TYPES[dtype])
        return Tensor(dtype, converted.view(f"u{BYTES[dtype]}"))
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return Tensor(dtype, ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16))


def load(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Return the tensors of a file by name, all or those named. Raises ValueError that names the file."""
    header = read(path, read_header)
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    data = np.memmap(path, np.uint8, "r") if header else np.zeros(0, np.uint8)
    return {name: _tensor(data, start, header[name]) for name in (header if names is None else names)}


def _tensor(data: NDArray[Any], start: int, header: TensorHeader) -> Tensor:
    first, last = header["data_offsets"]
    width = BYTES.get(header["dtype"], 1)
    if last - first != math.prod(header["shape"]) * width:
        raise ValueError("its bytes are not those of its shape")
    content = np.array(data[start + first : start + last])
    return Tensor(header["dtype"], content.view(f"u{width}").reshape(header["shape"]))


class DeferredTensor(Struct, frozen=True):
    """A tensor that is computed while it is written, in `blocks` along its first axis."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterable[Tensor]]

    @property
    def size(self) -> int:
        """The number of bytes."""
        return math.prod(self.shape) * BYTES[self.dtype]


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file. Equal tensors give equal bytes, in whatever order they come."""
    save_deferred(path, {name: _deferred(tensor) for name, tensor in tensors.items()}, metadata)


def _deferred(tensor: Tensor) -> DeferredTensor:
    return DeferredTensor(tensor.dtype, tensor.bits.shape, lambda: (tensor,))


def save_deferred(path: Path, tensors: Mapping[str, DeferredTensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, of which one block of one tensor is in memory at a time.

    Raises ValueError if the blocks of a tensor do not have the bytes of its shape.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, tensor in sorted(tensors.items()):
        header[name] = TensorHeader(
            dtype=tensor.dtype, shape=list(tensor.shape), data_offsets=(offset, offset + tensor.size)
        )
        offset += tensor.size
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in sorted(tensors.items()):
            written = sum(file.write(np.ascontiguousarray(block.bits).data) for block in tensor.blocks())
            if written != tensor.size:
                raise ValueError(f"{name}: {written} bytes, and {tensor.size} by its shape")
