"""Cache of parsed recipe files, `.punie/recipes`: parsing TOML takes most of the time of a build with nothing to do.

A file is looked up by the digest of its bytes, so that every edit is seen. A damaged or torn cache counts as empty.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from punie_build.storage import paths, project_file, sealed_file

Tables = dict[str, Any]


class TableCache:
    """The tables of the recipe files of one project, by the digest of each file."""

    def __init__(self, root: Path) -> None:
        self.path = root / paths.STATE / "recipes"
        self.known: dict[str, Tables] = {}
        self.used: dict[str, Tables] = {}
        with suppress(msgspec.DecodeError, RecursionError):
            if content := sealed_file.read(self.path):
                self.known = msgspec.msgpack.decode(content, type=dict[str, Tables])

    def parse(self, path: Path) -> Tables:
        """Return the tables of a file. Raises OSError or ValueError."""
        content = project_file.read(path)
        digest = hashlib.sha256(content).hexdigest()
        tables = self.known.get(digest)
        if tables is None:
            tables = project_file.parse_toml(content)
        self.used[digest] = tables
        return tables

    def write(self) -> None:
        """Keep the files of this run for the next one, where a build has made the folder: looking writes no folder."""
        if self.used.keys() != self.known.keys() and self.path.parent.is_dir():
            content = msgspec.msgpack.encode({name: tables for name, tables in self.used.items() if _is_plain(tables)})
            with suppress(OSError):
                sealed_file.write(self.path, content)


def _is_plain(tables: Tables) -> bool:
    """Return whether msgpack gives the same values back: dates, and numbers above 64 bits, it does not."""
    try:
        return bool(msgspec.msgpack.decode(msgspec.msgpack.encode(tables)) == tables)
    except (OverflowError, RecursionError, msgspec.MsgspecError):
        return False
