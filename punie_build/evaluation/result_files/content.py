"""Bytes, JSON and archives of unknown origin: bounded in size, and each fault is a DataError with one sentence."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from punie_build.data.readers import compression
from punie_build.errors import DataError
from punie_build.storage import project_file

T = TypeVar("T")
MAX_FILE_BYTES = 512 << 20
MAX_TREE_BYTES = 64 << 20  # of JSON that becomes Python objects in one piece, at most 25 times its size
ZSTANDARD = 93  # a method of compression in archives; zipfile reads it from Python 3.14


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file. Raise DataError if there is none, or if it is too large."""
    try:
        return project_file.read(path, MAX_FILE_BYTES)
    except IsADirectoryError:
        raise DataError(f"{path}: a folder - name a file of results in it") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror} - name a file of results") from None


def decode(data: bytes, type_: type[T], where: str) -> T:
    """Decode JSON, also with NaN and Infinity, which Python writes. Raise DataError."""
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem: Exception = error
    if b"NaN" in data or b"Infinity" in data:
        if len(data) > MAX_TREE_BYTES:
            raise DataError(f"{where}: more than {MAX_TREE_BYTES >> 20} MiB of JSON with NaN - replace NaN by null")
        try:
            return msgspec.convert(json.loads(data), type_)
        except (ValueError, msgspec.ValidationError, RecursionError) as error:
            problem = error
    text = "tables inside each other without end" if isinstance(problem, RecursionError) else str(problem)
    raise DataError(f"{where}: not in the form of its format: {text} - name a file of results") from None


def lines(data: bytes, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) of each line of JSONL. Raise DataError."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            if len(line) > MAX_TREE_BYTES:
                raise DataError(f"{where}:{number}: a line of more than {MAX_TREE_BYTES >> 20} MiB - shorten its texts")
            yield f"{where}:{number}", decode(line, dict[str, Any], f"{where}:{number}")


class Archive:
    """Members of a ZIP archive, read one by one within the limit of size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.members = {member.filename: member for member in archive.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a readable archive: {error} - write the log again") from None

    def read(self, name: str) -> bytes:
        """Return the bytes of a member. Raise DataError if there is none, or if it is damaged or too large."""
        where, member = f"{self.path}: {name}", self.members.get(name)
        if member is None:
            raise DataError(f"{where}: not in the archive - name a log of Inspect")
        if member.file_size > MAX_FILE_BYTES:
            raise DataError(f"{where}: unpacks to more than {MAX_FILE_BYTES >> 20} MiB - run fewer samples in one log")
        try:
            with self.path.open("rb") as file:
                file.seek(member.header_offset)
                name_length, extra_length = struct.unpack("<HH", file.read(30)[26:30])
                file.seek(name_length + extra_length, 1)
                packed = file.read(member.compress_size)
            return self._unpack(packed, member, where)
        except (OSError, ValueError, struct.error, zlib.error, compression.DamagedError) as error:
            raise DataError(f"{where}: damaged: {error} - write the log again") from None

    def _unpack(self, packed: bytes, member: zipfile.ZipInfo, where: str) -> bytes:
        if member.compress_type == zipfile.ZIP_STORED:
            content = packed
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-15).decompress(packed, member.file_size + 1)
        elif member.compress_type == ZSTANDARD:
            chunks, size = [], 0
            for chunk in compression.decompress([packed], "json.zst"):
                chunks.append(chunk)
                size += len(chunk)
                if size > member.file_size:
                    break
            content = b"".join(chunks)
        else:
            raise DataError(f"{where}: compressed by method {member.compress_type} - write the log again with deflate")
        if len(content) != member.file_size:
            raise ValueError("its size is another than the archive states")
        return content
