"""The row counts of a data folder, as `stats.json` stores them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from punie_build.engine.gates import SHARES

MAX_CATEGORIES = 100  # categories with a metric of their own: in some datasets each row has its own category


class FilterCounts(Struct, frozen=True, rename={"rows_in": "in", "rows_out": "out"}):
    """The number of rows that a filter tested, and the number that it kept."""

    rows_in: int
    rows_out: int


class SplitCounts(Struct):
    """Row counts of one split: rows read (`seen`), kept, and dropped for each reason.

    `filters` has the same numbers filter by filter. `rows` counts the lines of the split's file, including the copies
    of upsampled rows.
    """

    seen: int = 0
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = {}
    filters: dict[str, FilterCounts] = {}

    @property
    def retention(self) -> float:
        return self.kept / self.seen if self.seen else 1.0


class Stats(Struct):
    """The content of `stats.json`.

    `reasons` lists the filters in the order of the chain; `changed` counts the rows that transforms rewrote; `sources`
    counts the rows that a mix took from each source; `notes` are remarks for readers of the data;
    `unknown_keys` counts the rows of a dataset that have each key without an effect; `map_counts` has the
    remarks of maps, such as the turns that they cut.
    """

    splits: dict[str, SplitCounts]
    messages: int = 0
    categories: dict[str, int] = {}
    reasons: tuple[str, ...] = ()
    sources: dict[str, int] = {}
    changed: int = 0
    notes: tuple[str, ...] = ()
    unknown_keys: dict[str, int] | UnsetType = UNSET
    map_counts: dict[str, int] | UnsetType = UNSET

    @property
    def total(self) -> SplitCounts:
        total = SplitCounts(dropped={})
        for split in self.splits.values():
            total.seen, total.kept = total.seen + split.seen, total.kept + split.kept
            total.rows += split.rows
            total.dropped = dict(Counter(total.dropped) + Counter(split.dropped))
        return total

    def add_unknown_keys(self, keys: Iterable[str]) -> None:
        """Count the unknown keys of one row."""
        for key in keys:
            self.unknown_keys = self.unknown_keys or {}
            self.unknown_keys[key] = self.unknown_keys.get(key, 0) + 1

    def add_map_counts(self, counts: Mapping[str, int]) -> None:
        """Add what maps counted."""
        if counts:
            self.map_counts = dict(sorted((Counter(self.map_counts or {}) + Counter(counts)).items()))

    def add(self, other: Stats) -> None:
        """Add the counts of another `Stats` to this one."""
        for split, added in other.splits.items():
            counts = self.splits[split]
            counts.seen += added.seen
            counts.kept += added.kept
            counts.rows += added.rows
            counts.dropped = dict(Counter(counts.dropped) + Counter(added.dropped))
        self.notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        self.add_map_counts(other.map_counts or {})
        self.messages, self.changed = self.messages + other.messages, self.changed + other.changed
        self.categories = dict(Counter(self.categories) + Counter(other.categories))

    def metrics(self) -> dict[str, float]:
        """Return the metrics that gates can test. The share of a category is a fraction of all rows."""
        total = self.total
        largest = sorted(self.categories, key=lambda category: -self.categories[category])[:MAX_CATEGORIES]
        return (
            {"examples": total.kept, "dropped": total.seen - total.kept, "retention": total.retention}
            | {"rows": total.rows, **{split: counts.rows for split, counts in self.splits.items()}}
            | {f"{SHARES}.{category}": self.categories[category] / total.rows for category in sorted(largest)}
        )


def read_stats(folder: Path) -> Stats:
    """Read `stats.json` of a data folder."""
    return msgspec.json.decode((folder / "stats.json").read_bytes(), type=Stats)


def write_stats(folder: Path, stats: Stats) -> None:
    """Write `stats.json` of a data folder."""
    (folder / "stats.json").write_bytes(msgspec.json.format(msgspec.json.encode(stats), indent=2) + b"\n")
