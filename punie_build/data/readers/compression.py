"""Packing: the content of a file, unpacked as it comes in."""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from punie_build.data.jsonl import LFS
from punie_build.data.readers.record import BLOCK, needed, shown
from punie_build.errors import DataError

STEP = 2**11  # packed bytes unpacked at once: zstd makes 33,000 of one, so a step is 64 MiB at the very worst


class DamagedError(Exception):
    """Packed bytes that end too early, or are not what their name says."""


def pieces(path: Path, form: str) -> Iterator[bytes]:
    """The content, unpacked, in pieces. Raises OSError, DamagedError, and DataError for a Git LFS pointer."""
    with path.open("rb") as file:
        first = file.read(BLOCK)
        if first.startswith(LFS):
            raise DataError(f"{shown(path)}: a Git LFS pointer, not the data - run `git lfs pull`")
        yield from unpacked(chain([first], iter(partial(file.read, BLOCK), b"")), form)


def unpacked(packed: Iterable[bytes], form: str) -> Iterator[bytes]:
    """Unpack what comes in, by the end of the format's name; several gzip members or zstd frames are one content.

    Raises DamagedError. (zstandard's own readers take a file that was cut short for one that ends there.)
    """
    pack = form.rpartition(".")[2]
    if pack not in ("gz", "zst"):
        yield from packed
        return
    new, broken = _engine(pack)
    engine: Any = None  # unpacks the member that is not yet over
    whole, held, size = 0, [], 0
    try:
        for rest in _steps(packed):
            while rest:
                if engine is None and whole and pack == "gz" and not (rest := rest.lstrip(b"\0")):
                    break  # what gzip allows behind the last member
                engine = engine or new()
                held.append(engine.decompress(rest))
                size += len(held[-1])
                rest = b""  # noqa: PLW2901 - what follows the end of a member
                if engine.eof:
                    rest, engine, whole = engine.unused_data, None, whole + 1  # noqa: PLW2901
            if size >= BLOCK:
                yield b"".join(held)
                held, size = [], 0
    except broken as error:
        raise DamagedError(str(error)) from None
    yield b"".join(held)
    if engine is not None or not whole:
        raise DamagedError("it ends too early")


def _steps(packed: Iterable[bytes]) -> Iterator[bytes]:
    for piece in packed:
        for start in range(0, len(piece), STEP):
            yield piece[start : start + STEP]


def _engine(pack: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What unpacks one member, and what it raises."""
    if pack == "gz":
        return partial(zlib.decompressobj, wbits=31), zlib.error
    if sys.version_info >= (3, 14):
        zstd = importlib.import_module("compression.zstd")
        return zstd.ZstdDecompressor, zstd.ZstdError
    zstandard = needed("zstandard", ".zst", "files of this kind")
    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
