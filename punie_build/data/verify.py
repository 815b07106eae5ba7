"""Compare the row counts of a data folder with its stats.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from punie_build.data.stats import Stats
from punie_build.models.safetensors import json_as, read


def lines(path: Path) -> int:
    """How many lines a file has, in constant memory."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(b"\n")
    return count


def data(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where a data folder's files do not have the rows its stats.json says."""
    try:
        splits = read(folder / "stats.json", json_as(Stats)).splits
    except ValueError as error:
        yield str(error)
        return
    dropped = sum(counts.seen - counts.kept for counts in splits.values())
    for name, rows in [*((split, counts.rows) for split, counts in splits.items()), ("dropped", dropped)]:
        try:
            found = read(folder / f"{name}.jsonl", lines)
        except ValueError as error:
            yield str(error)
        else:
            if found != rows:
                yield f"{name}.jsonl: stats.json says {rows} rows, the file has {found}"
