"""Decompression of gzip and Zstandard files while they are read."""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from punie_build.data.readers.record import CHUNK_BYTES, display_path, import_optional
from punie_build.errors import DataError

LFS_HEADER = b"version https://git-lfs.github.com/spec/"  # begins a file whose content Git LFS keeps elsewhere
MAGIC = {  # first bytes of files that are no text -> (what they are, what to do)
    b"\x1f\x8b": ("gzip", "let its name end in .gz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "let its name end in .zst"),
    b"PAR1": ("Parquet", "let its name end in .parquet"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"),
    b"BZh": ("bzip2", "unpack it"),
    b"\xfd7zXZ": ("xz", "unpack it"),
    b"ARROW1": ("Arrow", "write it as Parquet"),
    b"SQLite format": ("a database", "write its rows as JSONL"),
    b"\xff\xfe\0\0": ("UTF-32", "save it as UTF-8"),
    b"\0\0\xfe\xff": ("UTF-32", "save it as UTF-8"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
    b"<!doctype": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
}
STEP_BYTES = 2**9  # decompressed at once: zstd expands a byte to at most 33,000, so a step gives at most 16 MiB


MAX_RATIO = 500  # of unpacked to packed bytes: text has 3 to 10, and even equal rows seldom more than 300
MIN_BYTES = 16 * 2**20  # unpacked, before the ratio counts


class DamagedError(Exception):
    """Compressed bytes that end too early, or that are not in the format of the file's name."""


class PackedError(DamagedError):
    """Bytes that unpack to so much more that they can hardly be data."""


def read_chunks(path: Path, form: str) -> Iterator[bytes]:
    """Yield the decompressed content in chunks.

    Raises OSError, DamagedError, and DataError for content of another kind.
    """
    with path.open("rb") as file:
        first = file.read(CHUNK_BYTES)
        if first.startswith(LFS_HEADER):
            raise DataError(f"{display_path(path)}: a Git LFS pointer, not the data - run `git lfs pull`")
        chunks = decompress(chain([first], iter(partial(file.read, CHUNK_BYTES), b"")), form)
        head = next(chunks, b"")
        start = head[:16].lstrip().lower() if head[:1] in b" \r\n\t<" else head[:16]
        kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None) or _wide_text(head)
        if kind and form != "parquet":
            raise DataError(f"{display_path(path)}: its content is {kind[0]}, which its name does not say - {kind[1]}")
        yield from chain([head], chunks)


def _wide_text(head: bytes) -> tuple[str, str] | None:
    """Return the kind of a text without a byte order mark that has zeros beside its first two characters."""
    zeros = tuple(byte == 0 for byte in head[:4])
    utf16 = zeros in ((False, True, False, True), (True, False, True, False))
    utf32 = zeros in ((False, True, True, True), (True, True, True, False))
    return ("UTF-16" if utf16 else "UTF-32", "save it as UTF-8") if utf16 or utf32 else None


def decompress(chunks: Iterable[bytes], form: str) -> Iterator[bytes]:
    """Decompress chunks by the suffix of the format's name; several gzip members or zstd frames are one content.

    Raises DamagedError, and PackedError. (The readers of the zstandard package accept a truncated file as a
    complete one.)
    """
    suffix = form.rpartition(".")[2]
    if suffix not in ("gz", "zst"):
        yield from chunks
        return
    new_decompressor, engine_error = _decompressor(suffix)
    decompressor: Any = None  # of the member that has not ended
    members, buffer, size, packed, unpacked = 0, [], 0, 0, 0
    try:
        for data in _steps(chunks):
            packed += len(data)
            while data:
                if decompressor is None and members and suffix == "gz" and not (data := data.lstrip(b"\0")):
                    break  # gzip allows zeros after the last member
                decompressor = decompressor or new_decompressor()
                buffer.append(decompressor.decompress(data))
                size += len(buffer[-1])
                data = b""  # noqa: PLW2901 - the rest of the step after the end of a member
                if decompressor.eof:
                    data, decompressor, members = decompressor.unused_data, None, members + 1  # noqa: PLW2901
            if size >= CHUNK_BYTES:
                unpacked += size
                if unpacked > max(MIN_BYTES, MAX_RATIO * packed):
                    raise PackedError(f"{packed} bytes of it unpack to {unpacked}")
                yield b"".join(buffer)
                buffer, size = [], 0
    except engine_error as error:
        raise DamagedError(str(error)) from None
    yield b"".join(buffer)
    if decompressor is not None or not members:
        raise DamagedError("it ends too early")


def _steps(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), STEP_BYTES):
            yield chunk[start : start + STEP_BYTES]


def _decompressor(suffix: str) -> tuple[Callable[[], Any], type[Exception]]:
    """Return the factory of decompressors for one member, and the error they raise."""
    if suffix == "gz":
        return partial(zlib.decompressobj, wbits=31), zlib.error
    if sys.version_info >= (3, 14):
        zstd = importlib.import_module("compression.zstd")
        return zstd.ZstdDecompressor, zstd.ZstdError
    zstandard = import_optional("zstandard", ".zst", "files of this kind")
    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
