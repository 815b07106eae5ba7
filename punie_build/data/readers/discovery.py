"""The data files of a folder, and the format and the split that a file's name states."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.record import display_path
from punie_build.errors import DataError

SPLIT_NAMES = {
    "train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"
}  # fmt: skip
SHARD = re.compile(  # train-00000-of-00003, train_07, train-00000-of-00001-<hash>
    r"[-_.]\d+(-of-\d+)?(-[0-9a-f]{8,})?$"
)


def data_files(path: Path) -> list[tuple[str | None, Path]]:
    """Return the data files of a folder, sorted by name, each with its split, or the file at `path` without a split.

    Shards (`train-00000-of-00003.parquet`) have the split of their set. If any file has a split, files without one
    are not part of the data: notes, `dropped.jsonl`. Hidden files and subfolders are skipped.
    """
    if not path.exists():
        raise DataError(f"{display_path(path)}: not found - put the data there, or correct the path")
    if not path.is_dir():
        return [(None, path)]
    names = [file.name for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
    files = with_splits(name for name in sorted(names) if format_of(name))
    if not files:
        folders = [entry.name for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        hint = f"name a subfolder: {', '.join(folders[:5])}" if folders else f"known formats: {', '.join(FORMATS)}"
        raise DataError(f"{display_path(path)}: no data file in this folder - {hint}")
    return [(split, path / name) for split, name in files]


def with_splits(names: Iterable[str]) -> list[tuple[str | None, str]]:
    """Return each name with its split. If any name has a split, names without one are omitted."""
    pairs = [(split_of(name), name) for name in names]
    return [pair for pair in pairs if pair[0]] or pairs


def split_of(name: str) -> str | None:
    """Return the split in the name of a file or of its folders, or None; `name` is relative to the root of the data."""
    *folders, _ = PurePosixPath(name.lower()).parts
    return next((SPLIT_NAMES[word] for word in (stem(name).lower(), *reversed(folders)) if word in SPLIT_NAMES), None)


def stem(name: str) -> str:
    """Return a file's name without its format and shard number: `train` of `data/train-00000-of-00003.parquet`."""
    base = PurePosixPath(name).name
    return SHARD.sub("", base[: -len(form) - 1] if (form := format_of(base)) else base)


def format_of(name: str) -> str | None:
    """Return the format that a file's name ends in, such as `jsonl.gz`, or None if it is not supported."""
    return next((form for form in FORMATS if name.lower().endswith(f".{form}")), None)
