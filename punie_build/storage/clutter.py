"""Files that are no data: those that file managers, editors, version control and Python put into folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

NAMES = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX", "__pycache__"))
SUFFIXES = ("~", ".swp", ".swo", ".swx")  # copies that editors make


def is_clutter(name: str) -> bool:
    """Return whether a name is that of clutter: hidden, a swap or backup file of an editor, of a file manager or
    Python's bytecode."""
    return name.startswith((".", "#")) or name.endswith(SUFFIXES) or name in NAMES


def walk(folder: os.PathLike[str] | str, others: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield (path below the folder with `/`, path) of each file that is not clutter. Linked folders are followed.

    Names that are neither file nor folder, such as links to nowhere, are appended to `others`.
    """
    pending = [(os.fspath(folder), "", frozenset[tuple[int, int]]())]
    while pending:
        path, prefix, above = pending.pop()
        chain = frozenset[tuple[int, int]]()
        with os.scandir(path) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                try:
                    is_folder = entry.is_dir()
                    is_file = not is_folder and entry.is_file()
                except OSError:  # a link to itself
                    is_folder = is_file = False
                if is_folder:
                    chain = chain or above | {_identity(path)}
                    if _identity(entry.path) not in chain:  # else a link to a folder that it is in
                        pending.append((entry.path, f"{prefix}{entry.name}/", chain))
                elif is_file:
                    yield prefix + entry.name, entry.path
                elif others is not None:
                    others.append(prefix + entry.name)


def _identity(folder: str) -> tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino
