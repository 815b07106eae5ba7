"""Store: what was ever made in this project, so that nothing is made twice.

A blob is a file named by the sha256 of its bytes; an action is the lock of a target, named by its key. Going back to an
earlier recipe finds its key here and copies the files out, verified; training does not run again. Files are copied, never
linked: what is in the store cannot be changed from outside. The whole folder may be deleted at any time.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from punie_build import digests, layout, locks
from punie_build.locks import Lock


def put(root: Path, folder: Path, lock: Lock) -> None:
    """Keep a finished target: its blobs first, the action that names them last."""
    for name, digest in lock.outputs.items():
        place = _blob(root, digest)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_name(f"{place.name}.{os.getpid()}")
            shutil.copyfile(folder / name, fresh)
            fresh.replace(place)
    action = _action(root, lock.key)
    action.parent.mkdir(parents=True, exist_ok=True)
    locks.write(action, lock)


def restore(root: Path, key: str, out: Path) -> Lock | None:
    """Copy what a key gave into the empty folder `out`; its lock, or None if it is not all here, whole."""
    lock = locks.read(_action(root, key))
    if lock is None or lock.key != key:
        return None
    for name, digest in lock.outputs.items():
        place, target = _blob(root, digest), out / name
        if not place.exists():
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, target)
        if digests.of_file(target) != digest:
            place.unlink()  # a rotten blob would only be met again
            return None
    return lock


def has(root: Path, key: str) -> bool:
    """Whether what a key gave is here, without reading it."""
    lock = locks.read(_action(root, key))
    return lock is not None and all(_blob(root, digest).exists() for digest in lock.outputs.values())


def _blob(root: Path, digest: str) -> Path:
    return root / layout.STATE / "store" / "blobs" / digest[:2] / digest


def _action(root: Path, key: str) -> Path:
    return root / layout.STATE / "store" / "actions" / key[:2] / f"{key}.json"
