"""The file `data/NAME.splits.lock`: the split of each group of examples, committed to git.

Split assignments are hashes, so most groups keep their split when data is added. But a new row can join two groups,
or change the smallest hash of a group. With this file an assigned group keeps its split; an example that is close to
groups of two splits is left out and reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from punie_build.data.example import SPLITS
from punie_build.data.split import ExampleStream, Split, assign_locked
from punie_build.errors import DataError
from punie_build.storage import paths, project_file

MAX_ERRORS = 20  # malformed lines that an error message lists


def read(path: Path, spec: Split) -> dict[str, str]:
    """Return group name -> split; empty if there is no file, or if it was written for other shares.

    Raises DataError that lists the malformed lines.
    """
    try:
        header, *lines = project_file.read(path).decode("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (ValueError, UnicodeDecodeError):
        raise DataError(f"{path.name}: empty or not UTF-8 - restore it from git, or delete it to split again") from None
    if header != _header(spec):
        return {}
    pairs = [line.split() for line in lines]
    if bad := [number for number, pair in enumerate(pairs, 2) if len(pair) != 2 or pair[1] not in SPLITS]:
        raise DataError(
            "\n".join(
                f"{path.name}:{number}: not a group and its split - restore the file from git, or delete the line"
                for number in bad[:MAX_ERRORS]
            )
        )
    return dict(pairs)


def write(path: Path, spec: Split, splits: Mapping[str, str]) -> None:
    """Write one line per group, sorted by name, so that git can merge lines that two people added."""
    lines = [_header(spec), *(f"{name} {splits[name]}" for name in sorted(splits))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _header(spec: Split) -> str:
    return f"# sides of groups, to be committed; for split = {msgspec.json.encode(spec).decode()}"


def assign_splits(
    stream: ExampleStream, spec: Split, out: Path, lock_path: Path | None, fixed: Sequence[str | None] | None = None
) -> list[str]:
    """Assign each example to a split, and write the assignments to `splits.lock` so that the next build keeps them."""
    if not (spec.lock and lock_path):
        return assign_locked(stream, spec, {}, fixed)[0]
    splits, groups = assign_locked(stream, spec, read(lock_path, spec), fixed)
    if splits:
        write(out / paths.SPLITS_LOCK, spec, groups)
    return splits
