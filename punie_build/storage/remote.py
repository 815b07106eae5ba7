"""Shared: a store that several checkouts, people and machines use, at any URL that fsspec knows.

    [tool.punie-build]
    store = "s3://bucket/punie"          # or file:///mnt/team, sftp://..., gs://...

Read when the local store lacks something, written after each success. Whatever comes down is believed only by its digest.
A store that cannot be reached costs one warning, and the build goes on without it; one that may only be read is read on.
Needs the extra `punie-build[shared]`.
"""

from __future__ import annotations

import re
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from punie_build.schema.spec import canonical
from punie_build.storage import settings
from punie_build.storage.settings import Settings

# Fail soon instead of minutes of retries: a build does not wait for a network. A server that is silent costs at most
# read_timeout * attempts * RETRIES. What `store_options` says goes before.
PATIENCE: dict[str, dict[str, dict[str, Any]]] = {
    "s3": {"config_kwargs": {"connect_timeout": 3, "read_timeout": 20, "retries": {"total_max_attempts": 2}}},
}
RETRIES = 2  # s3fs tries each question this often, 5 times if not told
OBJECTS = {
    "s3",
    "s3a",
    "gs",
    "gcs",
}  # no folders to make (s3fs would make the bucket), and an object appears when whole
T = TypeVar("T")


class Remote:
    """Names such as `blobs/ab/ab12...` below a URL. Every method gives a plain answer; none raises for a store that fails."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.lost = False  # nothing more is asked
        self.closed = False  # nothing more is written
        self.rotten: set[str] = set()  # there, but not what their names say: to be written again
        self.guard = threading.Lock()
        self.files: Any = None
        self.base = ""

    def has(self, name: str) -> bool:
        return name not in self.rotten and self._ask(lambda files: bool(files.exists(self._place(name))), default=False)

    def read(self, name: str) -> bytes | None:
        return self._ask(lambda files: bytes(files.cat_file(self._place(name))), default=None)

    def get(self, name: str, target: Path) -> bool:
        """Download to a file; whether it is there now."""
        self._ask(lambda files: files.get_file(self._place(name), str(target)), default=None)
        return target.exists()

    def put(self, name: str, content: Path | bytes) -> bool:
        """Upload a file or a text, whole or not at all; whether it is there now."""

        def send(files: Any) -> bool:
            place = self._place(name)
            if OBJECTS.intersection(_protocols(files)):
                _send(files, place, content)
            else:
                files.makedirs(place.rpartition("/")[0], exist_ok=True)
                _send_then_name(files, place, content)
            self.rotten.discard(name)
            return True

        return self._ask(send, default=False, writes=True)

    def _place(self, name: str) -> str:
        return f"{self.base}/{name}"

    def _ask(self, question: Callable[[Any], T], default: T, writes: bool = False) -> T:
        """The answer, or `default` for what is not there. The first failure is told, and then nothing is asked any more."""
        if self.lost or (writes and self.closed):
            return default
        try:
            return question(self._connected())
        except FileNotFoundError as error:
            if writes:  # no bucket, no folder
                self._fail(error, reads_on=False)
        except Exception as error:  # each kind of store fails in its own way; none of them may end a build
            self._fail(error, reads_on=writes and isinstance(error, PermissionError))
        return default

    def _fail(self, error: Exception, reads_on: bool) -> None:
        with self.guard:
            told = self.lost or (reads_on and self.closed)
            self.closed, self.lost = True, self.lost or not reads_on
        if not told:
            going = "reading from it only" if reads_on else "going on without it"
            where = re.sub(r"//[^/@]*@", "//", self.url)  # no password on a screen
            print(
                f"   shared store {where}: {_reason(error)} - {going}; `punie-build store push` sends what was made",
                file=sys.stderr,
                flush=True,
            )

    def _connected(self) -> Any:
        with self.guard:
            if self.files is None:
                import fsspec

                files, base = fsspec.core.url_to_fs(self.url, **_patient(self.url.partition("://")[0], self.options))
                if hasattr(files, "retries"):  # s3fs has no option for it
                    files.retries = RETRIES
                self.files, self.base = files, base.rstrip("/")
            return self.files


def _patient(protocol: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options, and our patience where they do not say their own."""
    ours = PATIENCE.get(protocol, {})
    both = {name: {**ours[name], **options[name]} for name in ours.keys() & options.keys()}
    return {**ours, **options, **both}


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _send(files: Any, place: str, content: Path | bytes) -> None:
    if isinstance(content, bytes):
        files.pipe_file(place, content)
    else:
        files.put_file(str(content), place)


def _send_then_name(files: Any, place: str, content: Path | bytes) -> None:
    """Where the store is a file system: under a name of its own first, so that nobody sees a part of it."""
    fresh = f"{place}.{secrets.token_hex(8)}"
    try:
        _send(files, fresh, content)
        files.mv(fresh, place)
    except BaseException:
        with suppress(Exception):
            files.rm_file(fresh)
        raise


def _reason(error: Exception) -> str:
    said = (str(error).splitlines() or [""])[0][:200]
    if isinstance(error, ImportError):
        return f"{said} (`punie-build[shared]` brings what s3:// and file:// need)"
    return f"{type(error).__name__} {said}"


def of(root: Path) -> Remote | None:
    """The project's shared store, or None if it has none."""
    found = settings.of(root)
    return _remote(found) if found.store else None


_remotes: dict[bytes, Remote] = {}
_opening = threading.Lock()


def _remote(found: Settings) -> Remote:
    """One for all tasks of a process: it connects once and warns once."""
    with _opening:
        return _remotes.setdefault(canonical(found), Remote(str(found.store), found.store_options))
