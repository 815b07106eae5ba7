"""Read files of a repository, which anyone may have written: regular files of a bounded size, TOML of a bounded depth.

A clone may hold a link to a device, a named pipe, or text that keeps a parser busy for ever. Here all of them are
errors with one sentence, of the types that a file which cannot be read or parsed has anyway.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20
MAX_DEPTH = 64  # tables and arrays inside each other; a recipe needs six
_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = rf"(?<![\w-])(?:{_PART}\.[ \t]*+){{{MAX_DEPTH}}}"  # tomllib takes quadratic time for it


def read(path: Path | str, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file. Raises OSError for any other kind of file, and above `max_bytes`."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))  # a pipe blocks
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "a device or a pipe, not a file", str(path))
        content = os.read(handle, min(status.st_size, max_bytes) + 1)
        while len(content) <= max_bytes and (rest := os.read(handle, min(1 << 16, max_bytes + 1 - len(content)))):
            content += rest
    finally:
        os.close(handle)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes >> 20} MiB", str(path))
    return content


def append(path: Path | str, content: bytes) -> None:
    """Append bytes to a file, in one write where that is possible. Raises OSError, also for a pipe that is not read."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        while content:
            content = content[os.write(handle, content) :]
    finally:
        os.close(handle)


def read_toml(path: Path | str) -> dict[str, Any]:
    """Return the tables of a TOML file. Raises OSError, or ValueError with the reason."""
    return parse_toml(read(path))


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the tables of the bytes of a TOML file. Raises ValueError with the reason."""
    import tomllib

    text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    if re.search(_LONG_KEY, text):
        raise ValueError(f"a key of more than {MAX_DEPTH} parts")
    try:
        tables = tomllib.loads(text)
    except (RecursionError, MemoryError):
        tables = None
    except ValueError as error:
        if "int_max_str_digits" not in str(error):
            raise
        raise ValueError("a number of thousands of digits") from None
    if tables is None or _is_deep(tables):
        raise ValueError(f"tables or arrays that are more than {MAX_DEPTH} deep inside each other")
    return tables


def _is_deep(tables: dict[str, Any]) -> bool:
    level: list[Any] = [tables]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
