"""Atomic publishing: a finished folder or file replaces the old one in one step, so that readers see one version."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from punie_build.storage import paths


def exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step (Linux `renameat2`, macOS `renamex_np`); return whether the system could."""
    import ctypes

    library = ctypes.CDLL(None)
    names = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "linux":  # pragma: no branch - macOS and others
            return bool(library.renameat2(-100, names[0], -100, names[1], 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE
        if sys.platform == "darwin":  # pragma: no cover - macOS
            return bool(library.renamex_np(*names, 2) == 0)  # RENAME_SWAP
    except AttributeError:  # pragma: no cover - a C library without the function
        pass
    return False  # pragma: no cover - other systems


def replace_folder(finished: Path, target: Path, exchange: Callable[[Path, Path], bool] = exchange) -> None:
    """Replace a target by a finished folder: at every instant the target is the complete old or new folder.

    A file system that cannot `exchange` two names is without the target for an instant, which the lock reveals.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):
        finished.rename(target)
    elif exchange(finished, target):
        remove(finished)
    else:
        old = finished.with_name(finished.name + ".old")
        remove(old)
        target.rename(old)
        finished.rename(target)
        remove(old)


def remove(path: Path) -> None:
    """Remove a folder with its content, a file of any kind, or a link without what it leads to. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_file(root: Path, path: str, content: bytes) -> None:
    """Write a file of the project in one step, by a rename; a kill leaves a temporary file in the staging folder."""
    temporary = root / paths.staging(f"{path}.{os.getpid()}.{threading.get_ident()}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(content)
        temporary.replace(root / path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step, by a rename of a temporary file in its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
