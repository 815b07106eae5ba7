"""Assignments: which side each group of examples was given, kept in `data/NAME.splits.lock` and committed.

A hash alone gives most groups the same side for ever. What joins two groups, or has a smaller hash than its group had, would move
it: so what was once given a side keeps it, and what cannot be on one side without a twin on the other is left out and reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from punie_build.data.example import SPLITS
from punie_build.data.split import Split
from punie_build.errors import DataError


def read(path: Path, split: Split) -> dict[str, str]:
    """Name of a group -> side; empty if there is none yet, or if it was written for other shares. Raises DataError for each
    line that says nothing."""
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (ValueError, UnicodeDecodeError):
        raise DataError(
            f"{path.name}: not what was written - restore it from git, or delete it to split anew"
        ) from None
    if head != _head(split):
        return {}
    pairs = [line.split() for line in lines]
    if bad := [number for number, pair in enumerate(pairs, 2) if len(pair) != 2 or pair[1] not in SPLITS]:
        raise DataError(
            "\n".join(
                f"{path.name}:{number}: neither a group and its side nor empty - restore it from git, or delete the line"
                for number in bad[:20]
            )
        )
    return dict(pairs)


def write(path: Path, split: Split, sides: Mapping[str, str]) -> None:
    """A line a group, in order of the names, so that git merges what two people added."""
    lines = [_head(split), *(f"{name} {sides[name]}" for name in sorted(sides))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head(split: Split) -> str:
    return f"# sides of groups, to be committed; for split = {msgspec.json.encode(split).decode()}"
