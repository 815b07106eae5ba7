"""Atomic and durable writes: a finished file or folder replaces the old one in one step, so that readers see one
version, and it is on disk before its name is: a power cut leaves the old or the new one, whole."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BARRIER = 85  # macOS: F_BARRIERFSYNC, which orders writes; its plain fsync does not
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF, errno.EROFS)  # folders of some file systems
MAX_THREADS = 8  # that wait for the disk: files that are synced at the same time share its writes


def sync(*paths: Path | str) -> None:
    """Wait until files, and the names in folders, are on disk. Raises OSError if the disk fails.

    The environment variable PUNIE_BUILD_SYNC=0 does without it, on a machine that is thrown away, such as one of CI.
    """
    if os.environ.get("PUNIE_BUILD_SYNC") == "0":
        return
    if len(paths) < 4:
        for path in paths:
            _sync(path)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(MAX_THREADS, len(paths))) as threads:
        list(threads.map(_sync, paths))


def _sync(path: Path | str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # pragma: no cover - root, as which tests may run, may read everything
        if os.path.isdir(path):  # may be entered, not listed
            return
        raise
    try:
        if sys.platform == "darwin":  # pragma: no cover - macOS
            import fcntl

            fcntl.fcntl(handle, BARRIER)
        else:
            os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:  # pragma: no cover - a disk that fails
            raise
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until a folder is on disk, with all that is in it."""
    contents: list[str] = []
    for parent, _, files in os.walk(folder):
        contents.append(parent)
        contents += (path for name in files if os.path.isfile(path := os.path.join(parent, name)))
    sync(*contents)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it; their names are on disk before this returns."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


@contextmanager
def new_files(*paths: Path) -> Iterator[list[Path]]:
    """Yield a temporary file beside each path, for the block to write. Then they are on disk, and have these names.

    After an error no path has changed; a kill leaves hidden files. An empty folder in the place of a file is removed.
    Raises IsADirectoryError for any other.
    """
    suffix = f"{os.getpid()}.{threading.get_ident()}"
    temporaries = [path.with_name(f".{path.name}.{suffix}") for path in paths]
    for folder in {path.parent for path in paths}:
        make_folder(folder)
    try:
        yield temporaries
        sync(*temporaries)
        for path in paths:
            if path.is_dir():
                _clear(path)
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
        sync(*{path.parent for path in paths})
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove an empty folder that is in the place of a file. Raises IsADirectoryError for any other."""
    if not folder.is_symlink():
        try:
            folder.rmdir()
        except OSError:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder)) from None


def publish_file(finished: Path, path: Path) -> None:
    """Give a finished file its name, in one step, when its content is on disk."""
    sync(finished)
    finished.replace(path)
    sync(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step; it is on disk before this returns."""
    with new_files(path) as [temporary]:
        temporary.write_bytes(content)


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

    A file system that cannot `exchange` two names is without the target for an instant, which the lock reveals. A
    finished folder of another disk is copied beside the target first.
    """
    make_folder(target.parent)
    if os.stat(finished).st_dev != os.stat(target.parent).st_dev:
        beside = target.with_name(f".{target.name}.new")
        remove(beside)
        shutil.copytree(finished, beside, symlinks=True)
        remove(finished)
        finished = beside
    sync_folder(finished)
    if not os.path.lexists(target):
        finished.rename(target)
    elif exchange(finished, target):
        remove(finished)
    else:
        old = finished.with_name(f"{finished.name}.old")
        remove(old)
        target.rename(old)
        finished.rename(target)
        remove(old)
    sync(target.parent)


def remove(path: Path) -> None:
    """Remove a folder with its content, a file of any kind, or a link without what it leads to. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
