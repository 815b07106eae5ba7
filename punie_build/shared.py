"""Shared: a store that several checkouts, people and machines use, at any URL that fsspec knows.

    [tool.punie-build]
    store = "s3://bucket/punie"          # or file:///mnt/team, sftp://..., gs://...

Read when the local store lacks something, written after each success. Whatever comes down is believed only by its digest.
A store that cannot be reached costs one warning, and the build goes on without it. Needs the extra `punie-build[shared]`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from punie_build import settings
from punie_build.settings import Settings

PATIENCE: dict[str, dict[str, Any]] = {  # fail soon instead of minutes of retries: a build does not wait for a network
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}},
}
T = TypeVar("T")


class Remote:
    """Names such as `blobs/ab/ab12...` below a URL. Every method gives a plain answer; none raises for a store that fails."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.lost = False
        self.guard = threading.Lock()
        self.files: Any = None
        self.base = ""

    def has(self, name: str) -> bool:
        return self._ask(lambda files: bool(files.exists(f"{self.base}/{name}")), default=False)

    def read(self, name: str) -> bytes | None:
        return self._ask(lambda files: bytes(files.cat_file(f"{self.base}/{name}")), default=None)

    def get(self, name: str, target: Path) -> bool:
        """Download to a file; whether it is there now."""
        self._ask(lambda files: files.get_file(f"{self.base}/{name}", str(target)), default=None)
        return target.exists()

    def put(self, name: str, source: Path) -> bool:
        """Upload a file, whole or not at all: under another name first where the store is a file system."""

        def send(files: Any) -> bool:
            place = f"{self.base}/{name}"
            files.makedirs(place.rpartition("/")[0], exist_ok=True)
            if "s3" in _protocols(files) or "gs" in _protocols(files):  # an object appears when it is whole
                files.put_file(str(source), place)
            else:
                files.put_file(str(source), f"{place}.{os.getpid()}")
                files.mv(f"{place}.{os.getpid()}", place)
            return True

        return self._ask(send, default=False)

    def _ask(self, question: Callable[[Any], T], default: T) -> T:
        if self.lost:
            return default
        try:
            return question(self._connected())
        except FileNotFoundError:
            return default
        except Exception as error:  # each kind of store fails in its own way; none of them may end a build
            with self.guard:
                if not self.lost:
                    self.lost = True
                    reason = (str(error).splitlines() or [""])[0][:200]
                    print(
                        f"   shared store {self.url}: {type(error).__name__} {reason} - going on without it; `punie-build store push` sends what was made",
                        file=sys.stderr,
                        flush=True,
                    )
            return default

    def _connected(self) -> Any:
        with self.guard:
            if self.files is None:
                import fsspec

                protocol = self.url.partition("://")[0]
                self.files, self.base = fsspec.core.url_to_fs(self.url, **(PATIENCE.get(protocol, {}) | self.options))
                self.base = self.base.rstrip("/")
            return self.files


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def of(root: Path) -> Remote | None:
    """The project's shared store, or None if it has none."""
    found = settings.of(root)
    return _remote(found) if found.store else None


_remotes: dict[str, Remote] = {}
_opening = threading.Lock()


def _remote(found: Settings) -> Remote:
    with _opening:
        return _remotes.setdefault(str(found.store), Remote(str(found.store), found.store_options))
