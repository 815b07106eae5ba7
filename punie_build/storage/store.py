"""Store: what was ever made in this project, so that nothing is made twice.

A blob is a file named by the sha256 of its bytes; an action is the lock of a target, named by its key. Going back to an
earlier recipe finds its key here and copies the files out, verified; training does not run again. Files are cloned where
the file system can (no bytes move), else copied, never linked: what is in the store cannot be changed from outside.
The whole folder may be deleted at any time. What is missing here is asked of the shared store, if the project has one.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from punie_build.storage import digests, locks, paths
from punie_build.storage import remote as shared
from punie_build.storage.locks import Lock

FICLONE = 0x40049409  # Linux: share the blocks of another file until one of them is written
GRACE = 3600  # seconds in which a new blob is never collected: a build may be about to name it
DIGEST = re.compile(r"[0-9a-f]{64}")  # other names in the store: half-written files of a build that runs, or was killed


def put(root: Path, folder: Path, lock: Lock) -> None:
    """Keep a finished target: its blobs first, the action that names them last; then the same in the shared store."""
    for name, digest in lock.outputs.items():
        try:
            os.utime(blob(root, digest))  # as good as new: a collector that runs now leaves it
        except FileNotFoundError:
            _into(blob(root, digest), folder / name)
    action = _action(root, lock.key)
    action.parent.mkdir(parents=True, exist_ok=True)
    locks.write(action, lock)
    push(root, lock)


def push(root: Path, lock: Lock) -> int:
    """Give the shared store what it lacks of a target that is here; how many blobs it lacked."""
    remote = shared.of(root)
    if remote is None:
        return 0
    lacks = [digest for digest in dict.fromkeys(lock.outputs.values()) if not remote.has(_name("blobs", digest))]
    sent = sum(
        blob(root, digest).exists() and remote.put(_name("blobs", digest), blob(root, digest)) for digest in lacks
    )
    if sent == len(lacks):
        remote.put(_name("actions", lock.key), locks.encode(lock))
    return sent


def find(root: Path, key: str, committed: Lock | None = None) -> Lock | None:
    """What a key gave, if all of it is here or in the shared store: the committed lock's answer before the newest.

    Two builds of one key may differ where a GPU computes; the lock in git says which of them people have agreed on.
    """
    return next((lock for lock in _answers(root, key, committed) if _whole(root, lock)), None)


def restore(root: Path, key: str, out: Path, committed: Lock | None = None) -> Lock | None:
    """Copy what a key gave into the empty folder `out`; its lock, or None if it is not all there, whole."""
    lock = find(root, key, committed)
    if lock is None:
        return None
    try:
        if not all(_copied(root, digest, out / name) for name, digest in lock.outputs.items()):
            _distrust(root, lock)
            return None
        action = _action(root, key)
        action.parent.mkdir(parents=True, exist_ok=True)
        if not action.exists():
            locks.write(action, lock)
        os.utime(action)  # used today: the collector counts from here
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError):
        return None  # collected under our hands, or a lock in which one name is a file and a folder
    return lock


def blob(root: Path, digest: str) -> Path:
    return root / paths.STATE / "store" / _name("blobs", digest)


def _action(root: Path, key: str) -> Path:
    return root / paths.STATE / "store" / _name("actions", key)


def _name(kind: str, digest: str) -> str:
    """Where a digest lies, in the local store and in the shared one."""
    return f"{kind}/{digest[:2]}/{digest}"


def _answers(root: Path, key: str, committed: Lock | None) -> Iterator[Lock]:
    """The locks that say what a key gave, best first."""
    if committed and committed.key == key:
        yield committed
    remote = shared.of(root)
    if (lock := locks.read(_action(root, key))) and lock.key == key:
        yield lock
    if remote and (text := remote.read(_name("actions", key))) and (lock := locks.decode(text)) and lock.key == key:
        yield lock


def _whole(root: Path, lock: Lock) -> bool:
    """Whether every blob is here or in the shared store, without reading them."""
    missing = [digest for digest in lock.outputs.values() if not blob(root, digest).exists()]
    remote = shared.of(root) if missing else None
    return not missing or (remote is not None and all(remote.has(_name("blobs", digest)) for digest in missing))


def _copied(root: Path, digest: str, target: Path) -> bool:
    """Whether a blob is copied out, whole. One that has rotted here is asked of the shared store."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        if not _fetched(root, digest):
            break
        copy(blob(root, digest), target)
        if digests.of_file(target) == digest:
            return True
        blob(root, digest).unlink(missing_ok=True)  # it would only be met again
    return False


def _distrust(root: Path, lock: Lock) -> None:
    """Where one file of a target has rotted in the shared store, all of them are sent again when it is made."""
    names = {_name("blobs", digest) for digest in lock.outputs.values()}
    remote = shared.of(root)
    if remote and remote.rotten & names:
        remote.rotten |= names


def _fetched(root: Path, digest: str) -> bool:
    """Whether a blob is here, after asking the shared store. What comes down is believed only by its digest."""
    place = blob(root, digest)
    if place.exists():
        return True
    remote = shared.of(root)
    if remote is None:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = _beside(place)
    try:
        if not remote.get(_name("blobs", digest), fresh):
            return False
        if digests.of_file(fresh) != digest:
            remote.rotten.add(_name("blobs", digest))
            return False
        fresh.replace(place)
        return True
    finally:
        fresh.unlink(missing_ok=True)


def _into(place: Path, source: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = _beside(place)
    try:
        copy(source, fresh)
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)


def _beside(place: Path) -> Path:
    return place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}")


def copy(source: Path, target: Path) -> None:
    """Clone a file where the file system can (btrfs, XFS, APFS), else copy its bytes."""
    if sys.platform == "darwin":
        with suppress(AttributeError):
            if ctypes.CDLL(None).clonefile(os.fsencode(source), os.fsencode(target), 0) == 0:
                return
    elif sys.platform == "linux":
        import fcntl

        with source.open("rb") as old, target.open("wb") as new, suppress(OSError):
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
            return
    shutil.copyfile(source, target)


class Swept(Struct, frozen=True):
    """What a collection removed and kept, in bytes and blobs."""

    removed: int
    freed: int
    kept: int
    held: int


def gc(root: Path, named: Iterable[Lock], days: float, dry: bool = False) -> Swept:
    """Remove what no lock names and nobody used for `days` days. `named` are the locks that must stay whole."""
    now = time.time()
    keep = {name for lock in named for name in (lock.key, *lock.outputs.values())}
    old = []
    actions = _files(root, "actions")
    for action, stat in actions.items():
        record = locks.read(action) if DIGEST.fullmatch(action.name) else None
        if record and (action.name in keep or now - stat.st_mtime <= days * 86400):
            keep.update(record.outputs.values())
        elif DIGEST.fullmatch(action.name) or now - stat.st_mtime > GRACE:
            old.append(action)
    blobs = _files(root, "blobs")
    unnamed = [path for path, stat in blobs.items() if path.name not in keep and now - stat.st_mtime > GRACE]
    freed = sum(blobs[path].st_size for path in unnamed)
    held = sum(stat.st_size for stat in blobs.values()) - freed
    seen = actions | blobs
    for path in () if dry else (*old, *unnamed):  # actions first: none may name a blob that is gone
        with suppress(FileNotFoundError):
            if path.stat().st_mtime_ns == seen[path].st_mtime_ns:  # else somebody needed it just now
                path.unlink()
    return Swept(len(unnamed), freed, len(blobs) - len(unnamed), held)


def verify(root: Path) -> Iterator[str]:
    """Read every blob; a line for each that is not what its name says, and for each action that lacks one. Rotten ones go."""
    for path in _named(root, "blobs"):
        if _digest(path) != path.name:
            path.unlink(missing_ok=True)
            yield f"blob {path.name[:12]}: its bytes are others - removed, it is made or fetched again when needed"
    for path in _named(root, "actions"):
        lock = locks.read(path)
        if lock is None or lock.key != path.name:
            path.unlink(missing_ok=True)
            yield f"action {path.name[:12]}: not the record of its key - removed"
        elif missing := sum(not blob(root, digest).exists() for digest in lock.outputs.values()):
            yield f"action {path.name[:12]} ({lock.key_inputs.kind}): {missing} of {len(lock.outputs)} files are missing - it is fetched or made again when needed"


def _digest(path: Path) -> str:
    with suppress(FileNotFoundError):
        return digests.read(path)
    return path.name  # collected meanwhile: nothing to say of it


def _named(root: Path, kind: str) -> Iterator[Path]:
    return (path for path in _files(root, kind) if DIGEST.fullmatch(path.name))


def _files(root: Path, kind: str) -> dict[Path, os.stat_result]:
    """Every file of the store as it is now; others may write to it and collect from it meanwhile."""
    found = {}
    for path in sorted((root / paths.STATE / "store" / kind).glob("*/*")):
        with suppress(FileNotFoundError):
            if path.is_file():
                found[path] = path.stat()
    return found
