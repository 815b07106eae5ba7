"""Places: the data files of a folder, and what their names say: format and side."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.record import shown
from punie_build.errors import DataError

SIDES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}
SHARD = re.compile(
    r"[-_.]\d+(-of-\d+)?(-[0-9a-f]{8,})?$"
)  # train-00000-of-00003, train_07, train-00000-of-00001-<hash>


def files(place: Path) -> list[tuple[str | None, Path]]:
    """The data files of a folder, by name, each with its side, or the one file that `place` is, which has none.

    Shards (`train-00000-of-00003.parquet`) have the side of what they are shards of. Where files have sides, those that have
    none are no part of the data: notes, `dropped.jsonl`. Hidden files are skipped, folders inside are not looked into.
    """
    if not place.exists():
        raise DataError(f"{shown(place)}: not there - put the data there, or correct the path")
    if not place.is_dir():
        return [(None, place)]
    names = [path.name for path in place.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = sided(name for name in sorted(names) if kind(name))
    if not found:
        inside = [path.name for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        hint = f"name a folder in it: {', '.join(inside[:5])}" if inside else f"known formats: {', '.join(FORMATS)}"
        raise DataError(f"{shown(place)}: no data file in this folder - {hint}")
    return [(side, place / name) for side, name in found]


def sided(names: Iterable[str]) -> list[tuple[str | None, str]]:
    """Each name with its side, those without one left out where others have one."""
    found = [(side(name), name) for name in names]
    return [pair for pair in found if pair[0]] or found


def side(name: str) -> str | None:
    """train, valid or test, for a file called so, or in a folder called so; `name` is relative to where the data begins."""
    *folders, _ = PurePosixPath(name.lower()).parts
    return next((SIDES[word] for word in (stem(name).lower(), *reversed(folders)) if word in SIDES), None)


def stem(name: str) -> str:
    """`train` of `data/train-00000-of-00003.parquet`: a file's name without its format and its number."""
    bare = PurePosixPath(name).name
    return SHARD.sub("", bare[: -len(form) - 1] if (form := kind(bare)) else bare)


def kind(name: str) -> str | None:
    """The format that a file's name ends in, such as `jsonl.gz`, or None if nobody here reads it."""
    return next((form for form in FORMATS if name.lower().endswith(f".{form}")), None)
