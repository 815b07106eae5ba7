"""The data files of a folder, and the format and the split that a file's name states."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.record import display_path
from punie_build.errors import DataError, join_first
from punie_build.storage.clutter import walk

SPLIT_NAMES = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "eval": "valid", "evaluation": "valid", "test": "test", "testing": "test",
}  # fmt: skip
SHARD = re.compile(  # train-00000-of-00003, train_07, train-00000-of-00001-<hash>
    r"[-_.]\d+(-of-\d+)?(-[0-9a-f]{8,})?$"
)
NUMBERED = re.compile(r"(.*)-(\d+)-of-(\d+)(-[0-9a-f]{8,})?$")  # (set, number, count, hash)
HUB_SPLITS = re.compile(r"---\n.*?^ *data_files:.*?split:", re.DOTALL | re.MULTILINE)  # of a README.md

MAX_NAMED = 5  # files that a message names
NO_SPLIT = "no split in the name, beside files that have one"
NO_FORMAT = "no format that is read"
NO_FILE = "no file: a link to nowhere, or no regular file"
NO_DATA = "facts about the data"
FACTS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # that `datasets` writes
OWN_FILES = (
    "dropped.jsonl",
    "stats.json",
    "held-out.txt",
    "untrained.txt",
    "splits.lock",
)  # of the targets of datasets


class FolderListing(Struct, frozen=True):
    """The data files of a folder, each with its split, and the files that are not read, with the reason of each."""

    files: tuple[tuple[str | None, Path], ...]
    skipped: dict[str, str] = {}
    has_hub_splits: bool = False

    def notes(self) -> tuple[str, ...]:
        """Return sentences on files that are not read, incomplete or double, and on splits that are not used."""
        sentences = (self._skipped_note(), self._unused_splits_note(), self._hub_splits_note())
        return tuple(filter(None, (*sentences, *self._incomplete_notes())))

    def _hub_splits_note(self) -> str:
        """Return a sentence on splits that the README of a dataset of the Hub assigns to files."""
        if not self.has_hub_splits or any(split for split, _ in self.files):
            return ""
        return "README.md: its `data_files` name splits, which are not used - name the files train, valid and test"

    def _incomplete_notes(self) -> Iterator[str]:
        """Yield sentences on empty files, on sets without one of their shards, and on one name in two formats."""
        empty = [
            path.name
            for _, path in self.files
            if path.exists() and not path.stat().st_size and not (path.parent / "stats.json").exists()  # not ours
        ]
        if empty and len(empty) < len(self.files):
            yield f"{join_first(empty, MAX_NAMED)}: no bytes - copy or download again, unless they shall be empty"
        shards: dict[tuple[Path, int], set[int]] = {}
        formats: dict[Path, list[str]] = {}
        for _, path in self.files:
            name = path.name[: -len(format_of(path.name) or "") - 1]
            formats.setdefault(path.with_name(name), []).append(path.name)
            if match := NUMBERED.fullmatch(name):
                shards.setdefault((path.with_name(match[1]), int(match[3])), set()).add(int(match[2]))
        for (prefix, count), numbers in shards.items():
            if len(numbers) < count:
                yield f"{prefix.name}: {len(numbers)} of {count} shards - download the others, unless a part is enough"
        for names in (names for names in formats.values() if len(names) > 1):
            listed = join_first(names, MAX_NAMED)
            yield f"{listed}: one name in {len(names)} formats - if the rows are the same, remove one"

    def _unused_splits_note(self) -> str:
        names = [path.name for split, path in self.files if split is None and _names_held_out(path.name)]
        if not names:
            return ""
        return (
            f"{join_first(names, MAX_NAMED)}: the split in the name is not used, so that rows are also trained on - for"
            " rows that keep their split, read a folder with the files train, valid and test"
        )

    def _skipped_note(self) -> str:
        """Return a sentence on the skipped files: for each reason their number and the first of them."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            by_reason.setdefault(reason, []).append(name)
        parts = []
        for reason, names in by_reason.items():
            parts.append(f"{join_first(names, MAX_NAMED)} ({reason})")
        count = len(self.files)
        return f"read {count} file{'s' if count != 1 else ''}; not read: {'; '.join(parts)}" if parts else ""


def _names_held_out(name: str) -> bool:
    """Whether a word of a file's name is that of a validation or test split: `x.test.jsonl`, `gsm8k_val.json`."""
    words = re.split(r"[-_.\s]", stem(name).lower())
    return any(SPLIT_NAMES.get(word, "train") != "train" for word in words)


def data_files(path: Path) -> list[tuple[str | None, Path]]:
    """Return the data files of a folder, each with its split, or the file at `path` without a split."""
    return list(list_folder(path).files)


def list_folder(path: Path) -> FolderListing:
    """Return the data files at a path, sorted by name, each with its split; a file has no split.

    Shards (`train-00000-of-00003.parquet`) have the split of their set. Subfolders are read too, linked ones as well.
    If any file has a split, files without one are skipped: notes, `dropped.jsonl`. Hidden files, swap and backup files
    do not count.
    """
    if not path.exists():
        raise DataError(f"{display_path(path)}: not found - put the data there, or correct the path")
    if not path.is_dir():
        return FolderListing(((None, path),))
    others: list[str] = []
    names = sorted(name for name, _ in walk(path, others))
    pairs = with_splits(name for name in names if format_of(name) and PurePosixPath(name).name not in FACTS)
    if not pairs:
        present = f"; it has {', '.join(names[:MAX_NAMED])}" if names else ""
        raise DataError(
            f"{display_path(path)}: no data file in this folder{present} - known formats: {', '.join(FORMATS)}"
        )
    selected = {name for _, name in pairs}
    skipped = {
        name: NO_DATA if PurePosixPath(name).name in FACTS else NO_SPLIT if format_of(name) else NO_FORMAT
        for name in names
        if name not in selected and PurePosixPath(name).name not in OWN_FILES
    }
    skipped |= dict.fromkeys(sorted(filter(format_of, others)), NO_FILE)
    readme = path / "README.md"
    has_hub_splits = readme.is_file() and bool(HUB_SPLITS.match(readme.read_text("utf-8", "replace")))
    return FolderListing(tuple((split, path / name) for split, name in pairs), skipped, has_hub_splits)


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
