"""Digests: sha256 of files and folders. A file is read once and then known by its inode, size and times.

`remember(root)` keeps what was read in `.punie/digests.db`, for later runs and for all tasks. A file that changed within
the clock's grain of being read is not remembered: it could change again and look the same (git calls this racy).
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from punie_build.storage import paths
from punie_build.storage.clutter import walk

Stamp = tuple[int, int, int, int]  # inode, size, mtime and ctime in nanoseconds
GRAIN = 20_000_000  # ns; the kernel's clock for files ticks every 1 to 10 ms
COARSE = 2_000_000_000  # ns; file systems that count in milliseconds or seconds
LARGE = 1 << 20  # bytes above which waiting for the clock is cheaper than reading twice
MOST = 100_000  # rows kept
SIGNED = 2**63 - 1  # what fits into a row; some network file systems number their files up to 2**64
LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\n")

_known: dict[Stamp, str] = {}
_guard = threading.Lock()
_book: sqlite3.Connection | None = None


def remember(root: Path) -> None:
    """Know what earlier runs read, and tell later ones. Where nothing can be written, this run alone remembers."""
    global _book  # noqa: PLW0603 - one book for all tasks of the process, as there is one memory
    path = root / paths.STATE / "digests.db"
    with _guard, suppress(OSError, sqlite3.Error):
        if _book is not None:
            _book.close()
            _book = None
        path.parent.mkdir(exist_ok=True)
        try:
            _book = _opened(path)
        except sqlite3.OperationalError:  # in use, or not to be written
            raise
        except sqlite3.DatabaseError:  # torn or no book at all: a new one
            path.unlink()
            _book = _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    """The book at a path, after learning what is in it."""
    book = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        book.execute("pragma journal_mode = wal")
        book.execute("pragma synchronous = off")  # a lost row is read again
        book.execute(
            "create table if not exists digest (inode, size, mtime, ctime, sha256 text, primary key (inode, size, mtime, ctime))"
        )
        book.execute(
            "delete from digest where rowid <= (select max(rowid) from digest) - ?", (MOST,)
        )  # the oldest, if any
        rows = book.execute("select inode, size, mtime, ctime, sha256 from digest")
        _known.update({row[:4]: row[4] for row in rows})
    except BaseException:
        book.close()
        raise
    return book


def of_file(path: Path | str) -> str:
    """sha256 of the bytes, 64 hex digits."""
    stamp = _stamp(os.stat(path))
    if known := _known.get(stamp):
        return known
    if stamp[1] > LARGE:
        time.sleep(max(0.0, min(_settles(stamp) - time.time_ns(), COARSE) / 1e9))
    return read(path)


def read(path: Path | str) -> str:
    """sha256 of the bytes as they are read now, whatever is remembered."""
    begun = time.time_ns()
    with open(path, "rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        unchanged = _stamp(os.fstat(file.fileno())) == stamp
    if unchanged and _settles(stamp) < begun:
        _note(stamp, digest)
    return digest


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_ino & SIGNED, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _settles(stamp: Stamp) -> int:
    """When (ns) a file of this stamp can no longer change without its stamp changing: every change sets the ctime."""
    ctime = stamp[3]
    return ctime + (COARSE if ctime % 1_000_000 == 0 else GRAIN)


def _note(stamp: Stamp, digest: str) -> None:
    with _guard:
        _known[stamp] = digest
        if _book is not None:
            with suppress(
                sqlite3.Error, OverflowError
            ):  # a full disk, a book in use, a time after 2262: only memory then
                _book.execute("insert or replace into digest values (?, ?, ?, ?, ?)", (*stamp, digest))


def of_pointed(path: Path | str) -> str:
    """The digest of a file, or of the file that a Git LFS pointer stands for."""
    if os.stat(path).st_size < 1024:
        with open(path, "rb") as file:
            if pointer := LFS.match(file.read()):
                return pointer[1].decode()
    return of_file(path)


def lfs_pointers(folder: Path) -> list[str]:
    """Return the files of a folder that are Git LFS pointers: their content is not here."""
    small = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 1024)
    return [path.relative_to(folder).as_posix() for path in small if LFS.match(path.read_bytes())]


def of_folder(folder: Path | str, pointers: bool = False) -> dict[str, str]:
    """Return the digest of each file below a folder, by its path in it, with `/` between names.

    Clutter does not count; linked folders do. With `pointers` a Git LFS pointer stands for its file.
    """
    file_digest = of_pointed if pointers else of_file
    return dict(sorted((name, file_digest(path)) for name, path in walk(folder)))


def of_target(folder: Path | str, target: str, pointers: bool = False) -> dict[str, str]:
    """Digest of each file that was made of a target that lies in a folder: without its views."""
    files, views = of_folder(folder, pointers), paths.views(target)
    return {name: digest for name, digest in files.items() if name not in views}


def of_listing(files: dict[str, str], only: tuple[str, ...] = ()) -> str:
    """One digest of names and the digests of what they hold; with `only`, of these names."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(files.items()) if not only or name in only)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def of_input(root: Path, place: str, only: tuple[str, ...] = (), pointers: bool = False) -> str:
    """One digest of what a task reads at a place of the project; views of targets are not read."""
    if not only and paths.views(place) and (root / place).is_dir():
        return of_listing(of_target(root / place, place, pointers))
    return of_tree(root / place, only, pointers)


def of_tree(path: Path | str, only: tuple[str, ...] = (), pointers: bool = False) -> str:
    """One digest of a file, or of a folder's names and contents (`only` these); `absent` where there is nothing."""
    try:
        if os.path.isdir(path):
            return of_listing(of_folder(path, pointers), only)
        return of_pointed(path) if pointers else of_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
