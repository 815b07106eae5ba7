"""The file `held-out.txt` of a data folder: the hashes of conversations that no data built from it may train on.

It has the validation and test rows of the folder and of everything that it was built from: also rows that a stage
dropped or a mix did not take, because another part of a later mix may train on a copy of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from punie_build.data.example import SPLITS, decode_example

FILE = "held-out.txt"
STRICTNESS = {split: rank for rank, split in enumerate(SPLITS)}  # train < valid < test


def read(folder: Path) -> dict[str, str]:
    """Return content hash -> split; of a folder without the file, the hashes of its validation and test rows."""
    try:
        lines = (folder / FILE).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return from_rows(folder)
    return dict(line.split() for line in lines)


def from_rows(folder: Path) -> dict[str, str]:
    """Return content hash -> split of the validation and test rows of a folder."""
    from punie_build.data import jsonl

    rows = (
        (decode_example(line).conversation_hash(), split)
        for split in SPLITS[1:]
        if (folder / f"{split}.jsonl").exists()
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl")
        for line in lines
        if line.strip()
    )
    return merge([dict([row]) for row in rows])


def merge(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the hashes of all parts, each with the strictest of its splits: test before valid."""
    merged: dict[str, str] = {}
    for part in parts:
        for key, split in part.items():
            merged[key] = max(split, merged.get(key, split), key=STRICTNESS.__getitem__)
    return merged


def write(folder: Path, hashes: Mapping[str, str]) -> None:
    """Write a line `hash split` for each row, sorted by hash."""
    lines = [f"{key} {hashes[key]}\n" for key in sorted(hashes)]
    (folder / FILE).write_text("".join(lines), encoding="ascii")
