"""The shared store: blobs and actions that several checkouts, people and machines use, at any URL that fsspec supports.

    [tool.punie-build]
    store = "s3://bucket/punie"          # or file:///mnt/team, sftp://..., gs://...

It is used if the user has allowed it (`settings`). It is read if the local store lacks an artifact, and written after
each build. Downloads are used only if their digest is right. If the store cannot be reached, one warning is printed and
the build continues without it; a silent, slow or endless one is given up after some seconds; one that cannot be
written is still read. Needs the extra `punie-build[shared]`.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from punie_build.errors import printable
from punie_build.schema.spec import canonical
from punie_build.storage import settings
from punie_build.storage.atomic import remove
from punie_build.storage.deadline import Transfer, limited
from punie_build.storage.settings import Settings

# Short timeouts: a build does not wait for a network. A silent server costs at most
# read_timeout * total_max_attempts * RETRIES. `store_options` override these values.
DEFAULT_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "s3": {"config_kwargs": {"connect_timeout": 3, "read_timeout": 20, "retries": {"total_max_attempts": 2}}},
}
RETRIES = 2  # attempts of s3fs for each request; its default is 5
# Protocols of object stores: no folders to create (s3fs would create the bucket), and uploads appear atomically.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs"}
PATIENCE = 12.0  # seconds that a silent or slow store costs a build
MIN_PATIENCE = 0.5  # ... and the least for each request
SLOWEST = 200_000  # bytes in a second: slower uploads count as silence
MAX_RECORD = 64 << 20  # bytes; that of a target of 100,000 files has 15 MB
SPARE_BYTES = 256 << 20  # of the disk, which a download leaves free
MAX_CORRUPT, MAX_CORRUPT_BYTES = 8, 1 << 30  # downloads of other bytes than their name says, until none is read
ANNOUNCED_BYTES = 1 << 30  # of a download that is announced with its size, which a store may invent
T = TypeVar("T")


class RemoteStore:
    """A store at a URL, with names such as `blobs/ab/ab12...`. No method raises an error if the store fails.

    `unreachable`: no request is sent any more. `read_only`: no upload is sent any more. `corrupt`: names whose content
    has another digest; they count as missing until they are uploaded again. `is_read`: few names are corrupt.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.unreachable = False
        self.read_only = False
        self.is_read = True
        self.has_corrupt = False  # the user knows that there are corrupt names
        self.has_unsigned = False  # the user knows that a record is not signed
        self.waited = 0.0  # seconds for slow answers
        self.patience, self.max_record, self.spare_bytes = PATIENCE, MAX_RECORD, SPARE_BYTES
        self.corrupt: set[str] = set()
        self.corrupt_bytes, self.announced_bytes = 0, ANNOUNCED_BYTES
        self.guard = threading.Lock()
        self.files: Any = None
        self.base = ""

    def has(self, name: str) -> bool:
        """Return whether a name is in the store and not known to be corrupt."""
        return (
            self.is_read
            and name not in self.corrupt
            and self._request(lambda files: bool(files.exists(self._path(name))), default=False)
        )

    def read(self, name: str) -> bytes | None:
        """Return the content of a name, such as a record, or None if it is missing. More than `max_record` bytes are a
        failure."""
        import tempfile

        if not self.is_read:
            return None
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "record")
            self._download(name, target, Transfer(self.max_record), is_small=True)
            return target.read_bytes() if target.exists() else None

    def get(self, name: str, target: Path) -> bool:
        """Download to a file. Return whether the file exists now.

        It may have as many bytes as the store says beforehand. If that does not say, the whole download must come
        within the patience: then no other bound tells a file from a flood.
        """
        if not self.is_read:
            return False
        size = self._size(name)
        limit = max(shutil.disk_usage(target.parent).free - self.spare_bytes, 0)
        if size is not None and size > limit:  # no failure of the store
            return False
        if size is not None and size >= self.announced_bytes:
            self._say(f"downloading {size / 1e9:.3g} GB, as it says")
        self._download(name, target, Transfer(limit if size is None else size), is_small=size is None)
        return target.exists()

    def reject(self, name: str, size: int = 0) -> None:
        """Count a name as missing, for its content of `size` bytes had another digest. Say so once; after `MAX_CORRUPT`
        of them, or `MAX_CORRUPT_BYTES`, read no more: new results are uploaded again."""
        with self.guard:
            self.corrupt_bytes += size
            is_last = self.is_read and (len(self.corrupt) + 1 >= MAX_CORRUPT or self.corrupt_bytes >= MAX_CORRUPT_BYTES)
            is_first = not self.has_corrupt
            self.has_corrupt = True
            self.corrupt.add(name)
            self.is_read = self.is_read and not is_last
        if is_first or is_last:
            effect = "nothing is read from it any more" if is_last else "they count as missing"
            self._say(f"the bytes of {name.rpartition('/')[2][:12]} are not those of its name - {effect}")

    def _size(self, name: str) -> int | None:
        """Return the size of a file in bytes, if the store knows it."""
        size = self._request(lambda files: files.info(self._path(name)).get("size"), default=None)
        return size if isinstance(size, int) and size >= 0 else None

    def _say(self, text: str) -> None:
        print(printable(f"   shared store {settings.without_password(self.url)}: {text}"), file=sys.stderr, flush=True)

    def _download(self, name: str, target: Path, transfer: Transfer, is_small: bool) -> None:
        progress = None if is_small else lambda: transfer.size_of(target)
        try:
            self._request(
                lambda files: files.get_file(self._path(name), str(target), callback=transfer.callback()),
                default=None,
                progress=progress,
                partial=target,
            )
        finally:
            transfer.is_stopped = True  # where it goes on in its thread
        if target.is_dir():  # fsspec makes a folder where the store has one in the place of a file
            remove(target)

    def put(self, name: str, content: Path | bytes) -> bool:
        """Upload a file or bytes, completely or not at all. Return whether the upload succeeded."""

        def send(files: Any) -> bool:
            path = self._path(name)
            if OBJECT_STORES.intersection(_protocols(files)):
                _upload(files, path, content)
            else:
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
                _upload_and_rename(files, path, content)
            self.corrupt.discard(name)
            return True

        size = len(content) if isinstance(content, bytes) else os.path.exists(content) and content.stat().st_size
        return self._request(send, default=False, writes=True, extra=size / SLOWEST)

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}"

    def _request(
        self,
        request: Callable[[Any], T],
        default: T,
        writes: bool = False,
        extra: float = 0.0,
        progress: Callable[[], int] | None = None,
        partial: Path | None = None,
    ) -> T:
        """Return the result of a request, or `default` if a name is missing or the store failed. Warn at a failure.

        All requests together may wait for `patience` seconds, but for `extra` seconds of this one, and for downloads
        that make `progress`. A failed download leaves nothing at `partial`.
        """
        if self.unreachable or (writes and self.read_only):
            return default
        started, patience = time.monotonic(), max(self.patience - self.waited, MIN_PATIENCE)
        try:
            result = limited(lambda: request(self._connect()), patience + extra, progress)
            if progress is None:
                self.waited += max(time.monotonic() - started - extra - 1, 0.0)  # one second is not slow
            return result
        except FileNotFoundError as error:
            if writes:  # no bucket, or no folder
                self._fail(error, still_readable=False)
        except Exception as error:  # each protocol has its own errors; none of them may end a build
            if not (partial and isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
                self._fail(error, still_readable=writes and isinstance(error, OSError) and not _is_silent(error))
        if partial:
            partial.unlink(missing_ok=True)
        return default

    def _fail(self, error: Exception, still_readable: bool) -> None:
        with self.guard:
            warned = self.unreachable or (still_readable and self.read_only)
            self.read_only, self.unreachable = True, self.unreachable or not still_readable
        if not warned:
            effect = "reading from it only" if still_readable else "continuing without it"
            self._say(f"{_reason(error)} - {effect}; `punie-build store push` uploads the rest later")

    def _connect(self) -> Any:
        with self.guard:
            if self.files is None:
                import fsspec

                options = _with_defaults(self.url.partition("://")[0], self.options)
                files, base = fsspec.core.url_to_fs(self.url, **options)
                if hasattr(files, "retries"):  # s3fs has no option for it
                    files.retries = RETRIES
                self.files, self.base = files, base.rstrip("/")
            return self.files


def _is_silent(error: OSError) -> bool:
    return isinstance(error, TimeoutError | ConnectionError)


def _with_defaults(protocol: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, with our defaults where they are silent; tables are merged."""
    defaults = DEFAULT_OPTIONS.get(protocol, {})
    merged = {name: {**defaults[name], **options[name]} for name in defaults.keys() & options.keys()}
    return {**defaults, **options, **merged}


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _upload(files: Any, path: str, content: Path | bytes) -> None:
    if isinstance(content, bytes):
        files.pipe_file(path, content)
    else:
        files.put_file(str(content), path)


def _upload_and_rename(files: Any, path: str, content: Path | bytes) -> None:
    """Upload to a temporary name of a file system and rename it, so that no reader sees part of a file."""
    import secrets

    temporary = f"{path}.{secrets.token_hex(8)}"
    try:
        _upload(files, temporary, content)
        files.mv(temporary, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(temporary)
        raise


def _reason(error: Exception) -> str:
    message = (str(error).splitlines() or [""])[0][:200]
    if isinstance(error, ImportError):
        return f"{message} (install `punie-build[shared]` for s3:// and file://)"
    return f"{type(error).__name__} {message}"


def of_project(root: Path) -> RemoteStore | None:
    """Return the project's shared store, or None if it has none that the user allows.

    Raise RecipeError for mistakes in the settings.
    """
    options = settings.load(root)
    return _connection(options) if options.store and settings.is_allowed(options) else None


_connections: dict[bytes, RemoteStore] = {}
_connections_guard = threading.Lock()


def _connection(options: Settings) -> RemoteStore:
    """Return the one connection of a process to a store: its tasks share it, and it warns once."""
    with _connections_guard:
        return _connections.setdefault(canonical(options), RemoteStore(str(options.store), options.store_options))
