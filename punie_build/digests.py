"""Digests: sha256 of files and folders, each file read once while it does not change."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path


def of_file(path: Path) -> str:
    """sha256 of the bytes, 64 hex digits."""
    stat = os.stat(path)
    return _of_file(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=100_000)
def _of_file(path: str, *_unchanged: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def of_listing(files: dict[str, str]) -> str:
    """One digest of names and the digests of what they hold."""
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in sorted(files.items())).encode()).hexdigest()


def of_tree(path: Path) -> str:
    """One digest of a file, or of a folder's names and contents; `absent` where there is nothing."""
    if path.is_dir():
        return of_listing(of_folder(path))
    return of_file(path) if path.exists() else "absent"
