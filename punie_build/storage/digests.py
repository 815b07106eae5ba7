"""Digests: the sha256 of files and folders. A file is read once, and then identified by its inode, size and times.

`use_cache(root)` keeps the digests in `.punie/digests.db`, for later runs and for all tasks. A file that changed less
than one tick of the file system's clock before it was read is not cached: it could change again without a change of its
times (git calls such an entry racy).
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

from punie_build.storage import paths
from punie_build.storage.clutter import walk

Stamp = tuple[int, int, int, int]  # inode, size, mtime and ctime in nanoseconds
TICK_NS = 20_000_000  # the kernel's clock for files ticks every 1 to 10 ms
COARSE_TICK_NS = 2_000_000_000  # of file systems that store milliseconds or seconds
LARGE_BYTES = 1 << 20  # above this size, waiting for the clock is cheaper than reading twice
MAX_ROWS = 100_000
MAX_INTEGER = 2**63 - 1  # of a column; some network file systems number their files up to 2**64
LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\n")

_memory: dict[Stamp, str] = {}
_guard = threading.Lock()
_cache: sqlite3.Connection | None = None


def use_cache(root: Path) -> None:
    """Load the digests of earlier runs, and store new ones. Without write permission they stay in memory only."""
    global _cache  # noqa: PLW0603 - one cache for all tasks of the process
    path = root / paths.STATE / "digests.db"
    with _guard, suppress(OSError, sqlite3.Error):
        if _cache is not None:
            _cache.close()
            _cache = None
        path.parent.mkdir(exist_ok=True)
        try:
            _cache = _open(path)
        except sqlite3.OperationalError:  # locked by another process, or not writable
            raise
        except sqlite3.DatabaseError:  # damaged, or not a database
            path.unlink()
            _cache = _open(path)


def _open(path: Path) -> sqlite3.Connection:
    """Open the cache, drop its oldest rows, and load the others into memory."""
    database = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = off")  # a lost row costs one reading
        database.execute(
            "create table if not exists digest"
            " (inode, size, mtime, ctime, sha256 text, primary key (inode, size, mtime, ctime))"
        )
        database.execute("delete from digest where rowid <= (select max(rowid) from digest) - ?", (MAX_ROWS,))
        rows = database.execute("select inode, size, mtime, ctime, sha256 from digest where length(sha256) = 72")
        _memory.update({row[:4]: row[4] for row in rows})
    except BaseException:
        database.close()
        raise
    return database


def of_file(path: Path | str) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits, from the cache if the file has not changed."""
    stamp = _stamp(os.stat(path))
    if cached := _memory.get(stamp):
        if len(cached) == 64:
            return cached
        if _sealed(stamp, cached[:64]) == cached:
            _memory[stamp] = cached[:64]
            return cached[:64]
    if stamp[1] > LARGE_BYTES:
        time.sleep(max(0.0, min(_stable_from(stamp) - time.time_ns(), COARSE_TICK_NS) / 1e9))
    return compute(path)


def compute(path: Path | str) -> str:
    """Read a file and return the sha256 of its bytes, whatever the cache holds."""
    started = time.time_ns()
    with open(path, "rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        is_unchanged = _stamp(os.fstat(file.fileno())) == stamp
    if is_unchanged and _stable_from(stamp) < started:
        _store(stamp, digest)
    return digest


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_ino & MAX_INTEGER, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def stamps_of(path: Path, without: tuple[str, ...] = ()) -> dict[str, Stamp]:
    """Return the stamp of a file, named "", or of each file in a folder; of none that is not there."""
    if os.path.isdir(path):
        return {name: _stamp(os.stat(file)) for name, file in walk(path) if name not in without}
    return {"": _stamp(os.stat(path))} if os.path.isfile(path) else {}


def stamps(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return (inode, size, mtime) of each file below a folder that a program may load: without cards and pages."""
    loaded = (pair for pair in walk(folder) if not pair[0].endswith((".md", ".html")))
    return {name: _stamp(os.stat(path))[:3] for name, path in loaded}


def _sealed(stamp: Stamp, digest: str) -> str:
    """Return a digest with a checksum of it and of its stamp, as the cache has it: a damaged row is no digest."""
    return f"{digest}{zlib.crc32(f'{stamp}{digest}'.encode()):08x}"


def _stable_from(stamp: Stamp) -> int:
    """Return the time (ns) from which each change of the file changes its stamp: every change sets the ctime."""
    ctime = stamp[3]
    return ctime + (COARSE_TICK_NS if ctime % 1_000_000 == 0 else TICK_NS)


def _store(stamp: Stamp, digest: str) -> None:
    with _guard:
        _memory[stamp] = digest
        if _cache is not None:
            # a full disk, a cache locked by another process, or a time after 2262: then only the memory has it
            with suppress(sqlite3.Error, OverflowError):
                _cache.execute("insert or replace into digest values (?, ?, ?, ?, ?)", (*stamp, _sealed(stamp, digest)))


def of_pointed(path: Path | str) -> str:
    """Return the digest of a file, or of the file that a Git LFS pointer names."""
    if os.stat(path).st_size < 1024:
        with open(path, "rb") as file:
            if pointer := LFS.match(file.read()):
                return pointer[1].decode()
    return of_file(path)


def lfs_pointers(folder: Path) -> list[str]:
    """Return the files of a folder that are Git LFS pointers: their content is not on this machine."""
    small = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 1024)
    return [path.relative_to(folder).as_posix() for path in small if LFS.match(path.read_bytes())]


def of_folder(folder: Path | str, pointers: bool = False) -> dict[str, str]:
    """Return the digest of each file below a folder, by its path relative to the folder, with `/` between names.

    Clutter is skipped, linked folders are followed. With `pointers` a Git LFS pointer has the digest of its file.
    """
    digest_of = of_pointed if pointers else of_file
    return dict(sorted((name, digest_of(path)) for name, path in walk(folder)))


def of_target(folder: Path | str, target: str, pointers: bool = False) -> dict[str, str]:
    """Return the digest of each file of a target that is in a folder, without its views."""
    files, views = of_folder(folder, pointers), paths.views(target)
    return {name: digest for name, digest in files.items() if name not in views}


def of_listing(files: dict[str, str], only: tuple[str, ...] = ()) -> str:
    """Return one digest of names and the digests of their content; with `only`, of these names."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(files.items()) if not only or name in only)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def of_part(files: dict[str, str], target: str, path: str, only: tuple[str, ...] = ()) -> str:
    """Return the digest of a target with these files, or of a path in it; `absent` if nothing is there."""
    below = path.removeprefix(target).removeprefix("/")
    if below in files:
        return files[below]
    prefix = f"{below}/" if below else ""
    inside = {name.removeprefix(prefix): digest for name, digest in files.items() if name.startswith(prefix)}
    return of_listing(inside, only) if inside or not below else "absent"


def of_input(root: Path, path: str, only: tuple[str, ...] = (), pointers: bool = False) -> str:
    """Return one digest of the files that a task reads at a path of the project; views of targets are not read."""
    place = os.path.join(root, path)
    if not only and paths.views(path) and os.path.isdir(place):
        return of_listing(of_target(place, path, pointers))
    return of_tree(place, only, pointers)


def of_tree(path: Path | str, only: tuple[str, ...] = (), pointers: bool = False) -> str:
    """Return one digest of a file, or of a folder's names and contents (`only` these); `absent` without a file."""
    try:
        if os.path.isdir(path):
            return of_listing(of_folder(path, pointers), only)
        if not os.path.isfile(path):  # a pipe would block, and a device may never end
            return "absent"
        return of_pointed(path) if pointers else of_file(path)
    except (FileNotFoundError, NotADirectoryError):  # pragma: no cover - removed at this moment
        return "absent"
