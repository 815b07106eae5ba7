"""Publishing: a finished folder or file takes its place in one step, so that at every instant what is there is whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
from pathlib import Path

from punie_build.storage import paths


def publish(made: Path, target: Path) -> None:
    """Put a finished folder in a target's place: at every instant the target is the old one or the new one, whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        made.rename(target)
    elif _exchange(made, target):
        shutil.rmtree(made, ignore_errors=True)
    else:  # a file system that cannot: for an instant there is none, which the lock tells
        old = made.with_name(made.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        made.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def put(root: Path, place: str, content: bytes) -> None:
    """Write a file of the project whole, by a rename; what a kill leaves behind is in the staging folder."""
    fresh = root / paths.staging(f"{place}.{os.getpid()}.{threading.get_ident()}")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    try:
        fresh.write_bytes(content)
        fresh.replace(root / place)
    finally:
        fresh.unlink(missing_ok=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux `renameat2`, macOS `renamex_np`); whether the system could."""
    library = ctypes.CDLL(None)
    one, two = os.fsencode(a), os.fsencode(b)
    try:
        if sys.platform == "linux":
            return bool(library.renameat2(-100, one, -100, two, 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE
        if sys.platform == "darwin":
            return bool(library.renamex_np(one, two, 2) == 0)  # RENAME_SWAP
    except AttributeError:
        pass
    return False
