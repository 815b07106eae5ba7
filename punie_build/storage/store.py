"""The local store: the files of every artifact that was built in this project, so that none is built twice.

A blob is a file that is named by the sha256 of its bytes. An action is the lock of a target, named by its key. If a
recipe returns to an earlier version, its key is in the store, and the files are copied out and verified; no training
runs again. Files are cloned where the file system supports it (no bytes are copied), else copied, never linked: an edit
of a target cannot change the store. The whole folder may be deleted at any time. Blobs and actions that the local store
lacks are read from the shared store, if the project has one.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from punie_build.storage import digests, locks, paths, remote, settings, signatures
from punie_build.storage.atomic import new_files
from punie_build.storage.locks import Lock

FICLONE = 0x40049409  # Linux: share the blocks of another file until one of them is written
GRACE_SECONDS = 3600  # a younger blob is never collected: a build may be about to write the action that names it
DAY_SECONDS = 86400
DIGEST = re.compile(r"[0-9a-f]{64}")  # other names in the store are temporary files of a running or killed build


def put(root: Path, folder: Path, lock: Lock) -> None:
    """Store a finished target: first its blobs, then the action that names them; then the same in the shared store."""
    sources = {digest: folder / name for name, digest in lock.outputs.items() if not _renew(blob(root, digest))}
    with new_files(*(blob(root, digest) for digest in sources)) as temporaries:
        for source, temporary in zip(sources.values(), temporaries, strict=True):
            copy(source, temporary)
    locks.write(_action(root, lock.key), lock)
    push(root, lock)


def push(root: Path, lock: Lock) -> int:
    """Upload the blobs of a stored target that the shared store lacks, and its action. Return the number of blobs."""
    shared = remote.of_project(root)
    if shared is None:
        return 0
    missing = [digest for digest in dict.fromkeys(lock.outputs.values()) if not shared.has(_object("blobs", digest))]
    n_sent = sum(
        blob(root, digest).exists() and shared.put(_object("blobs", digest), blob(root, digest)) for digest in missing
    )
    if n_sent == len(missing):
        shared.put(_object("actions", lock.key), locks.encode(lock))
        if key := os.environ.get(signatures.VARIABLE):
            shared.put(_object("signed", lock.key), signatures.sign(locks.encode(lock), Path(key)))
    return n_sent


def is_shared(root: Path, lock: Lock) -> bool:
    """Return whether the shared store has the record of a key and all of its blobs."""
    shared = remote.of_project(root)
    names = [_object("actions", lock.key), *(_object("blobs", digest) for digest in set(lock.outputs.values()))]
    return shared is not None and all(shared.has(name) for name in names)


def push_files(root: Path, files: Mapping[Path, str]) -> None:
    """Upload files, by digest, that the shared store lacks: those that people wrote, and no task made."""
    if shared := remote.of_project(root):
        for path, digest in files.items():
            if not shared.has(_object("blobs", digest)):
                shared.put(_object("blobs", digest), path)


def restore_file(root: Path, digest: str, path: Path) -> bool:
    """Write the file of a digest from the local or the shared store. Return whether one of them has it intact."""
    return _copy_blob(root, digest, path)


def find(root: Path, key: str, committed: Lock | None = None) -> Lock | None:
    """Return the lock of a key if all its blobs are in the local or the shared store; the committed lock is preferred.

    Two builds of one key may differ if a GPU computes them; the lock in git records which of them was agreed on.
    """
    return next((lock for lock in _candidates(root, key, committed) if _is_complete(root, lock)), None)


def restore(root: Path, key: str, out: Path, committed: Lock | None = None) -> Lock | None:
    """Copy the files of a key into the empty folder `out`. Return the lock, or None if a file is missing or corrupt."""
    lock = find(root, key, committed)
    if lock is None:
        return None
    try:
        if not all(_copy_blob(root, digest, out / name) for name, digest in lock.outputs.items()):
            _mark_corrupt(root, lock)
            return None
        action = _action(root, key)
        if not action.exists():
            locks.write(action, lock)
        os.utime(action)  # the time of last use, for the collection
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return None  # collected meanwhile, or a record with a name that is too long, or a file and a folder
    return lock


def read(root: Path, digest: str) -> bytes | None:
    """Return the bytes of a digest, from the local or the shared store; None if neither has them intact."""
    path = blob(root, digest)
    if path.exists() and digests.compute(path) != digest:
        path.unlink()
    return path.read_bytes() if path.exists() or _download(root, digest) else None


def recorded(root: Path, key: str) -> Lock | None:
    """Return the record of a key in the local store."""
    lock = locks.read(_action(root, key))
    return lock if lock and lock.key == key else None


def blob(root: Path, digest: str) -> Path:
    """Return the path of a blob."""
    return root / paths.STATE / "store" / _object("blobs", digest)


def _action(root: Path, key: str) -> Path:
    return root / paths.STATE / "store" / _object("actions", key)


def _object(kind: str, digest: str) -> str:
    """Return the path of a blob or an action in a store, local or shared."""
    return f"{kind}/{digest[:2]}/{digest}"


def _candidates(root: Path, key: str, committed: Lock | None) -> Iterator[Lock]:
    """Yield the known locks of a key, the preferred one first."""
    if committed and committed.key == key:
        yield committed
    shared = remote.of_project(root)
    if lock := recorded(root, key):
        yield lock
    if shared and (text := _shared_record(root, shared, key)) and (lock := locks.decode(text)) and lock.key == key:
        yield lock


def _shared_record(root: Path, shared: remote.RemoteStore, key: str) -> bytes | None:
    """Return the record of a key in the shared store; where the project lists public keys, one that they signed."""
    keys = settings.load(root).store_verify
    if not keys:
        return shared.read(_object("actions", key))
    envelope = shared.read(_object("signed", key))
    record = signatures.verified(envelope, keys) if envelope else None
    if record is None and (envelope or shared.has(_object("actions", key))) and not shared.has_unsigned:
        shared.has_unsigned = True
        print(
            f"   shared store: the record {key[:12]} is not signed by a key of `store_verify` - it counts as none, "
            "as do others like it",
            file=sys.stderr,
        )
    return record


def _is_complete(root: Path, lock: Lock) -> bool:
    """Whether every blob is in the local or the shared store; blobs are not read."""
    missing = [digest for digest in lock.outputs.values() if not blob(root, digest).exists()]
    shared = remote.of_project(root) if missing else None
    return not missing or (shared is not None and all(shared.has(_object("blobs", digest)) for digest in missing))


def _copy_blob(root: Path, digest: str, target: Path) -> bool:
    """Copy a blob out of the store. If the local blob is corrupt, download it. Return whether the copy is intact."""
    path = blob(root, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        copy(path, target)
        if digests.of_file(target) == digest:
            return True
        path.unlink(missing_ok=True)  # else the next restore fails at it too
    if not _download(root, digest):
        return False
    copy(path, target)
    return digests.of_file(target) == digest


def _mark_corrupt(root: Path, lock: Lock) -> None:
    """If one blob of a target is corrupt in the shared store, mark all of them: the next build uploads them again."""
    names = {_object("blobs", digest) for digest in lock.outputs.values()}
    shared = remote.of_project(root)
    if shared and shared.corrupt & names:
        shared.corrupt |= names


def _download(root: Path, digest: str) -> bool:
    """Download a blob. Return whether the shared store has it, and intact."""
    shared = remote.of_project(root)
    if shared is None:
        return False
    with suppress(_DamagedError), new_files(blob(root, digest)) as [temporary]:
        if not shared.get(_object("blobs", digest), temporary):
            raise _DamagedError
        if digests.of_file(temporary) != digest:
            shared.reject(_object("blobs", digest), temporary.stat().st_size)
            raise _DamagedError
        return True
    return False


class _DamagedError(Exception):
    """A download did not come, or not as its name says."""


def _renew(path: Path) -> bool:
    """Let a blob count as new, so that a concurrent collection keeps it. Return whether it exists."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError:  # pragma: no cover - of another user: it can be read, and that is all
        return True
    return True


def copy(source: Path, target: Path) -> None:
    """Clone a file where the file system supports it (btrfs, XFS, APFS), else copy its bytes."""
    if sys.platform == "darwin":  # pragma: no cover - macOS
        import ctypes

        with suppress(AttributeError):
            if ctypes.CDLL(None).clonefile(os.fsencode(source), os.fsencode(target), 0) == 0:
                return
    elif sys.platform == "linux":  # pragma: no branch - other systems copy
        import fcntl

        with source.open("rb") as old, target.open("wb") as new, suppress(OSError):
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
            return  # pragma: no cover - btrfs and XFS
    shutil.copyfile(source, target)


class GarbageCollection(Struct, frozen=True):
    """The result of a garbage collection, in blobs and bytes."""

    removed_blobs: int
    removed_bytes: int
    kept_blobs: int
    kept_bytes: int


def gc(root: Path, named: Iterable[Lock], days: float, dry: bool = False) -> GarbageCollection:
    """Remove the actions and blobs that no lock names and that were not used for `days` days.

    The files of `named` locks are kept. With `dry` no file is removed.
    """
    now = time.time()
    keep = {name for lock in named for name in (lock.key, *lock.outputs.values())}
    expired = []
    actions = _files(root, "actions")
    for action, stat in actions.items():
        record = locks.read(action) if DIGEST.fullmatch(action.name) else None
        if record and (action.name in keep or now - stat.st_mtime <= days * DAY_SECONDS):
            keep.update(record.outputs.values())
        elif DIGEST.fullmatch(action.name) or now - stat.st_mtime > GRACE_SECONDS:
            expired.append(action)
    blobs = _files(root, "blobs")
    unnamed = [path for path, stat in blobs.items() if path.name not in keep and now - stat.st_mtime > GRACE_SECONDS]
    removed_bytes = sum(blobs[path].st_size for path in unnamed)
    kept_bytes = sum(stat.st_size for stat in blobs.values()) - removed_bytes
    listed = actions | blobs
    for path in () if dry else (*expired, *unnamed):  # actions first: no action may name a removed blob
        _remove(path, listed[path])
    return GarbageCollection(len(unnamed), removed_bytes, len(blobs) - len(unnamed), kept_bytes)


def _remove(path: Path, listed: os.stat_result) -> None:
    """Remove a file, unless a build has used it since it was listed."""
    with suppress(FileNotFoundError):
        if path.stat().st_mtime_ns == listed.st_mtime_ns:
            path.unlink()


def verify(root: Path) -> Iterator[str]:
    """Read every blob and remove the corrupt ones. Yield a line for each of them and for each incomplete action."""
    for path in _objects(root, "blobs"):
        if _digest(path) != path.name:
            path.unlink(missing_ok=True)
            yield f"blob {path.name[:12]}: corrupt - removed; it is built or downloaded again when needed"
    for path in _objects(root, "actions"):
        lock = locks.read(path)
        if lock is None or lock.key != path.name:
            path.unlink(missing_ok=True)
            yield f"action {path.name[:12]}: not the record of its key - removed"
        elif missing := sum(not blob(root, digest).exists() for digest in lock.outputs.values()):
            yield (
                f"action {path.name[:12]} ({lock.key_inputs.kind}): {missing} of {len(lock.outputs)} files are missing"
                " - they are downloaded or built again when needed"
            )


def _digest(path: Path) -> str:
    with suppress(FileNotFoundError):
        return digests.compute(path)
    return path.name  # collected meanwhile: not corrupt


def _objects(root: Path, kind: str) -> Iterator[Path]:
    return (path for path in _files(root, kind) if DIGEST.fullmatch(path.name))


def _files(root: Path, kind: str) -> dict[Path, os.stat_result]:
    """Return the present files of the store; other processes may add and remove files meanwhile."""
    stats = {}
    for path in sorted((root / paths.STATE / "store" / kind).glob("*/*")):
        with suppress(FileNotFoundError):
            if path.is_file():
                stats[path] = path.stat()
    return stats
