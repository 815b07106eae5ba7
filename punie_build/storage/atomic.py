"""Atomic publishing: a finished folder or file takes its place in one step, so that at every instant one whole version
is there."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
from pathlib import Path

from punie_build.storage import paths


def replace_folder(finished: Path, target: Path) -> None:
    """Put a finished folder in the place of a target: at every instant the target is the old one or the new one,
    whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        finished.rename(target)
    elif _exchange(finished, target):
        shutil.rmtree(finished, ignore_errors=True)
    else:  # a file system that cannot exchange: for an instant there is no target, which the lock reveals
        old = finished.with_name(finished.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        finished.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def write_file(root: Path, path: str, content: bytes) -> None:
    """Write a file of the project whole, by a rename; a kill leaves its remains in the staging folder."""
    temporary = root / paths.staging(f"{path}.{os.getpid()}.{threading.get_ident()}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(content)
        temporary.replace(root / path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside others of its folder whole, by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux `renameat2`, macOS `renamex_np`); return whether the system could."""
    library = ctypes.CDLL(None)
    first, second = os.fsencode(a), os.fsencode(b)
    try:
        if sys.platform == "linux":
            return bool(library.renameat2(-100, first, -100, second, 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE
        if sys.platform == "darwin":
            return bool(library.renamex_np(first, second, 2) == 0)  # RENAME_SWAP
    except AttributeError:
        pass
    return False
