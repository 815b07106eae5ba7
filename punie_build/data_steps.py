"""Data steps: datasets, stages and mixes as folders of train, valid, test, dropped and stats.

Every example that comes in is kept or dropped with the reason: `seen = kept + dropped`, for each split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct

from punie_build import jsonl, mixing
from punie_build.errors import DataError
from punie_build.examples import SPLITS, Row
from punie_build.filters import AnyFilter
from punie_build.recipe import Dataset, Mix, Stage


class Sifted(Struct):
    """Counts of one split: what came in, what stayed, and what each reason took. `rows` are the lines of its file, with the
    copies of upsampled rows."""

    seen: int = 0
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = {}

    @property
    def retention(self) -> float:
        return self.kept / self.seen if self.seen else 1.0


class Stats(Struct):
    """`stats.json` of a data folder. `reasons` are the filters in their order; `sources` counts what a mix took from each."""

    splits: dict[str, Sifted]
    messages: int = 0
    categories: dict[str, int] = {}
    reasons: tuple[str, ...] = ()
    sources: dict[str, int] = {}

    @property
    def total(self) -> Sifted:
        total = Sifted(dropped={})
        for split in self.splits.values():
            total.seen, total.kept = total.seen + split.seen, total.kept + split.kept
            total.rows += split.rows
            total.dropped = dict(Counter(total.dropped) + Counter(split.dropped))
        return total

    def metrics(self) -> dict[str, float]:
        """What gates may ask of data."""
        total = self.total
        return {"examples": total.kept, "dropped": total.seen - total.kept, "retention": total.retention} | {
            split: counts.rows for split, counts in self.splits.items()
        }


def stats(folder: Path) -> Stats:
    return msgspec.json.decode((folder / "stats.json").read_bytes(), type=Stats)


class Writer:
    """The files of a data folder, open; counts what it writes."""

    def __init__(self, out: Path) -> None:
        self.out, self.stack = out, ExitStack()
        self.stats = Stats({split: Sifted(dropped={}) for split in SPLITS}, categories={}, sources={})

    def __enter__(self) -> Writer:
        self.files = {
            split: self.stack.enter_context((self.out / f"{split}.jsonl").open("wb")) for split in (*SPLITS, "dropped")
        }
        return self

    def keep(self, split: str, row: Row) -> None:
        counts = self.stats.splits[split]
        counts.seen += 1
        counts.kept += 1
        self.put(split, row)

    def put(self, split: str, row: Row) -> None:
        """Write a row, seen before or not: copies of an upsampled row are written, not seen."""
        self.stats.splits[split].rows += jsonl.write(self.files[split], [row])
        self.stats.messages += len(row.example.messages)
        if category := row.example.category:
            self.stats.categories[category] = self.stats.categories.get(category, 0) + 1

    def drop(self, split: str, row: Row, reason: str) -> None:
        counts = self.stats.splits[split]
        counts.seen += 1
        counts.dropped[reason] = counts.dropped.get(reason, 0) + 1
        self.files["dropped"].write(
            msgspec.json.encode({"reason": reason, "split": split, "example": msgspec.Raw(row.line)}) + b"\n"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()
        if kind is None:
            self.stats.categories = dict(sorted(self.stats.categories.items()))
            (self.out / "stats.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(self.stats), indent=2) + b"\n"
            )


def rows(folder: Path) -> Iterator[tuple[str, Row]]:
    """(split, row) of a data folder, in the order of its files."""
    for path, row in jsonl.read_all([folder / f"{split}.jsonl" for split in SPLITS]):
        yield path.stem, row


def dataset(name: str, spec: Dataset, root: Path, out: Path) -> Stats:
    """Read a source. Raises DataError naming every line that is not an example."""
    for place in spec.source.inputs():
        if not (root / place).exists():
            raise DataError(f"dataset.{name}: {place}: not there - put the data there, or correct `path`")
    with Writer(out) as writer:
        for side, row in spec.source.rows(root, jsonl.read_all):
            writer.keep(side or spec.split.side(row), row)
    if not writer.stats.total.kept:
        raise DataError(f"dataset.{name}: no examples at all - is `path` the right folder?")
    return writer.stats


def reasons(filters: tuple[AnyFilter, ...]) -> list[str]:
    """What each filter's drops are called: its type, numbered where one occurs again."""
    names = [str(filter_.__struct_config__.tag) for filter_ in filters]
    return [
        name if names.count(name) == 1 else f"{name} {names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    ]


def stage(name: str, spec: Stage, source: Path, out: Path) -> Stats:
    """Sift: the first filter to object is the reason. Raises DataError if a split that had rows has none left."""
    tests = [(reason, filter_.predicate()) for reason, filter_ in zip(reasons(spec.filters), spec.filters, strict=True)]
    with Writer(out) as writer:
        writer.stats.reasons = tuple(reason for reason, _ in tests)
        for split, row in rows(source):
            objection = next((reason for reason, keep in tests if not keep(row.example)), None)
            if objection is None:
                writer.keep(split, row)
            else:
                writer.drop(split, row, objection)
        for split, counts in writer.stats.splits.items():
            if counts.seen and not counts.kept:
                worst = max(counts.dropped, key=lambda reason: counts.dropped[reason])
                raise DataError(
                    f"stage.{name}: {split} is empty: the filter '{worst}' dropped {counts.dropped[worst]} of {counts.seen} examples - loosen it, or give {split} more"
                )
    return writer.stats


def mix(name: str, spec: Mix, sources: Iterable[Path], out: Path) -> Stats:
    """Merge, drop twins, split anew, shuffle. Raises DataError if nothing is left to train or to validate on."""
    taken: list[tuple[mixing.Part, Row]] = []
    for part, source in zip(spec.parts(), sources, strict=True):
        taken += [(part, row) for row in mixing.choose([row for _, row in rows(source)], part, spec.seed)]
    first, twins = mixing.unique(taken)
    with Writer(out) as writer:
        writer.stats.reasons = ("twin",)
        copies = []
        for part, row in first:
            writer.stats.sources[part.name] = writer.stats.sources.get(part.name, 0) + 1
            if spec.split.side(row) == "train":
                copies += [row] * mixing.repeated(row, part, spec.seed)
        ordered = mixing.shuffled([row for _, row in first], spec.seed)
        for row in ordered:
            side = spec.split.side(row)
            if side != "train":
                writer.keep(side, row)
        met: set[str] = set()
        for row in mixing.shuffled(copies, spec.seed):
            (writer.put if row.identity() in met else writer.keep)("train", row)
            met.add(row.identity())
        for _, row in twins:
            writer.drop(spec.split.side(row), row, "twin")
        for split, share in (("train", 1.0), ("valid", spec.split.valid), ("test", spec.split.test)):
            if share and not writer.stats.splits[split].kept:
                raise DataError(
                    f"mix.{name}: {split} is empty: {len(first)} rows are too few for this split - add data, or change split.{split}"
                )
    return writer.stats
