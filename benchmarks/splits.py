"""Splits of real datasets: held-out rows that also occur in training, and rows that change splits when data is added.

    ./run python benchmarks/splits.py                     # --real FOLDER: a folder of datasets, each a folder
    git clone https://github.com/pauleveritt/punie        # the datasets of all its phases
    ./run python benchmarks/splits.py --real punie/data --sets phase28_merged phase33_merged \
        --grown phase28_merged phase33_merged

A tenth is held out. A held-out row leaks if training has the same row, the same except for numbers, the same
question, or a near duplicate (Jaccard 0.8 of word 5-grams), as found by `split.find_overlaps`. punie-build is
compared with the shipped splits, with `shuffle` (seed 42, the last tenth held out), and with a salted hash of each
row. Moved rows are counted on each dataset without every eighth row and then with it, or, with --grown, on two
datasets of which the second contains the first. `kept` is punie-build with the split lock of the first run: rows
between two splits are dropped.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from punie_build.data import split as splitting
from punie_build.data.example import Example, Row
from punie_build.data.ingest import ingest
from punie_build.data.mix import hash_fraction
from punie_build.data.sources import Local
from punie_build.data.split import AMBIGUOUS, Split

SPLIT = Split(valid=0.1)
Rows = Sequence[Example]
Sides = list[str]


def read(folder: Path) -> tuple[list[Example], Sides]:
    """(the rows of a set that can be read, the sides they came with, "" for none)."""
    with tempfile.TemporaryDirectory() as scratch:
        found = list(ingest(folder.parent, Local(path=folder.name), "auto", Path(scratch)))
    rows = [(row.example, side or "") for side, row in found if isinstance(row, Row)]
    return [example for example, _ in rows], [side for _, side in rows]


def shuffle(rows: Rows) -> Sides:
    """As the code that punie-build replaces did it."""
    order = list(range(len(rows)))
    random.Random(42).shuffle(order)
    held = set(order[int(len(rows) * (1 - SPLIT.valid)) :])
    return ["valid" if place in held else "train" for place in range(len(rows))]


def row_hash(rows: Rows) -> Sides:
    return ["valid" if hash_fraction(0, row.content_hash()) < SPLIT.valid else "train" for row in rows]


def ours(rows: Rows) -> Sides:
    return splitting.assign(lambda: rows, SPLIT)


METHODS: dict[str, Callable[[Rows], Sides]] = {"shuffle": shuffle, "row hash": row_hash, "punie-build": ours}


def leaked(rows: Rows, sides: Sides) -> tuple[int, int, str]:
    """(held-back rows that training has, held-back rows, both in words)."""
    kept = [(side, row) for side, row in zip(sides, rows, strict=True) if side != AMBIGUOUS]
    held = sum(side != "train" for side, _ in kept)
    count = len(splitting.find_overlaps(lambda: kept))
    return count, held, f"{count} of {held}"


def moved(rows: Rows, sides: Sides, more: Rows, later: Sides) -> Counter[tuple[str, str]]:
    """How many rows went from one side to another; the n-th copy of a row is held against its n-th copy."""
    after: dict[str, list[str]] = {}
    for row, side in zip(more, later, strict=True):
        after.setdefault(row.content_hash(), []).append(side)
    pairs = [
        (side, after[name].pop(0))
        for row, side in zip(rows, sides, strict=True)
        if after.get(name := row.content_hash())
    ]
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def line(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def leaks(name: str, rows: Rows, came: Sides) -> int:
    """A row of the first table; how many leaked through punie-build."""
    found = {method: leaked(rows, split(rows)) for method, split in METHODS.items()}
    shipped = leaked(rows, came)[2] if {"train"} < set(came) else "-"
    line(name, f"{len(rows):,}", shipped, *(said for _, _, said in found.values()))
    return found["punie-build"][0]


def growth(name: str, rows: Rows, more: Rows) -> tuple[int, int]:
    """A row of the second table; (rows that moved, rows that leaked) with the sides kept."""
    cells = [_told(moved(rows, split(rows), more, split(more))) for split in METHODS.values()]
    first, names = splitting.assign_locked(lambda: rows, SPLIT, {})
    then, _ = splitting.assign_locked(lambda: more, SPLIT, names)
    went = moved(rows, first, more, then)
    count, _, said = leaked(more, then)
    both = sum((Counter(row.content_hash() for row in rows) & Counter(row.content_hash() for row in more)).values())
    line(name, f"{len(rows):,} -> {len(more):,}, {both:,} in both", *cells, _told(went), then.count(AMBIGUOUS), said)
    return _count(went), count


def _count(went: Counter[tuple[str, str]]) -> int:
    return sum(count for pair, count in went.items() if AMBIGUOUS not in pair)


def _told(went: Counter[tuple[str, str]]) -> str:
    into = sum(count for (_, side), count in went.items() if side == "train")
    return f"{_count(went)} ({into} into training)" if into else str(_count(went))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/data/punie"), help="a folder of sets")
    parser.add_argument("--sets", nargs="*", help="only these of them")
    parser.add_argument("--grown", nargs=2, metavar=("OLD", "NEW"), help="two sets: what moves from one to the other")
    options = parser.parse_args()
    names = options.sets or sorted(path.name for path in options.real.iterdir() if any(path.glob("*.jsonl")))
    sets = {name: read(options.real / name) for name in dict.fromkeys([*names, *(options.grown or ())])}
    line("leaked of held back", "rows", "as it came", *METHODS)
    line(*["---"] * (3 + len(METHODS)))
    bad = sum(leaks(name, *sets[name]) for name in names)
    print()
    line("rows that moved", "rows", *METHODS, "kept", "left out", "leaked then")
    line(*["---"] * (5 + len(METHODS)))
    grown = [(name, [row for n, row in enumerate(rows) if n % 8 != 7], rows) for name, (rows, _) in sets.items()]
    if options.grown:
        old, new = options.grown
        grown = [(f"{old} -> {new}", sets[old][0], sets[new][0])]
    for name, rows, more in grown:
        bad += sum(growth(name, rows, more))
    print(
        "\ngoal: with punie-build no row leaks, and with the split lock none moves: "
        f"{'met' if not bad else f'missed by {bad}'}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
