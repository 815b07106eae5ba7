"""Build mixes: merge data folders so that no row that a part holds back is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from punie_build.data import held_out, split_shares
from punie_build.data import mix as mixing
from punie_build.data.example import SPLITS, Example
from punie_build.data.mix import MixComponent
from punie_build.data.row_files import RowFiles, RowLocation
from punie_build.data.spec import Mix
from punie_build.data.split import AMBIGUOUS
from punie_build.data.split_lock import assign_splits
from punie_build.data.stats import Stats
from punie_build.data.writer import DataWriter
from punie_build.errors import DataError

REASONS = ("twin", "between", "held-out")


class MixRow(NamedTuple):
    """A row of a component, with the split that it has already, or None."""

    component: MixComponent
    location: RowLocation
    split: str | None

    def content_hash(self) -> str:
        return self.location.hash

    def conversation_hash(self) -> str:
        """Return the hash without that of marks: a row whose turns have other weights is still a copy."""
        return self.location.hash.partition("-")[0]


def build_mix(
    name: str,
    spec: Mix,
    sources: Sequence[Path],
    out: Path,
    lock_path: Path | None = None,
    allow_empty: bool = False,
    unsplit: Collection[str] = (),
) -> Stats:
    """Merge data folders into `out`: drop exact duplicates, split the rows without a split, shuffle.

    `unsplit` names the components whose rows have no split; with `spec.resplit` all of them have none. A training row
    that any source holds back, or that is a near copy of a held-out row of a source, is dropped. `lock_path` is the
    file with the split assignments of earlier builds. Raises DataError if a split that the recipe asks for has no rows,
    unless `allow_empty`.
    """
    withheld = {} if spec.resplit else held_out.merge(held_out.read(source) for source in sources)
    with ExitStack() as stack:
        files = RowFiles([source / f"{split}.jsonl" for source in sources for split in SPLITS], stack)
        locations = list(files.locations())
        chosen: list[MixRow] = []
        spare: list[MixRow] = []  # held-out rows that a cap or weight leaves out: their near copies are not trained
        for number, component in enumerate(spec.parts()):
            part = [location for location in locations if location.file // len(SPLITS) == number]
            has_split = not spec.resplit and component.name not in unsplit
            rows_of = [MixRow(component, row, SPLITS[row.file % len(SPLITS)] if has_split else None) for row in part]
            picked = {row.location: row for row in mixing.choose(rows_of, component, spec.seed)}
            chosen += picked.values()
            spare += [row for row in rows_of if row.split in SPLITS[1:] and row.location not in picked]
        chosen.sort(key=lambda row: -held_out.STRICTNESS.get(row.split or "", -1))
        unique, duplicates = mixing.dedup(chosen)
        rows = [
            row._replace(split=withheld.get(row.conversation_hash())) if row.split is None else row
            for row in unique
            if row.split != "train" or row.conversation_hash() not in withheld
        ]
        leaks = [row for row in unique if row.split == "train" and row.conversation_hash() in withheld]

        def stream() -> Iterator[Example]:
            return (files.row(row.location).example for row in rows)

        compared = rows + spare
        splits = assign_splits(
            lambda: (files.row(row.location).example for row in compared),
            spec.split,
            out,
            lock_path,
            [row.split for row in compared],
        )[: len(rows)]
        with DataWriter(out) as writer:
            writer.stats.reasons = REASONS
            _write(writer, spec, files, [(row, split) for row, split in zip(rows, splits, strict=True) if split])
            between = [row for row, split in zip(rows, splits, strict=True) if split == AMBIGUOUS]
            for reason, dropped in (("twin", duplicates), ("between", between), ("held-out", leaks)):
                for row in dropped:
                    writer.drop("train", files.row(row.location), reason)
            held_out.write(out, held_out.merge([withheld, _held_out(rows, splits)]))
            settled = sum(bool(row.split and split) for row, split in zip(rows, splits, strict=True))
            writer.stats.notes += split_shares.notes(writer.stats, spec.split, stream, settled)
            writer.stats.notes += _unknown_rows(withheld.keys() - {row.conversation_hash() for row in compared})
            free = any(row.split is None for row in rows)
    for split in SPLITS if free and not allow_empty else ():
        if spec.split.share(split) and not writer.stats.splits[split].kept:
            raise DataError(
                f"mix.{name}: {split} is empty: {len(rows)} rows are too few for this split, because rows with the "
                f"same question stay together - add data, or change split.{split} or split.group_by"
            )
    return writer.stats


def _unknown_rows(absent: Collection[str]) -> tuple[str, ...]:
    """Return a note on held-out rows of which a mix knows the hash only."""
    rows = f"{len(absent)} held-out row{'s are' if len(absent) != 1 else ' is'} in no part any more"
    advice = "equal training rows are dropped, near copies are not - `punie-build dataset audit` finds them"
    return (f"{rows}: {advice}",) if absent else ()


def _held_out(rows: Sequence[MixRow], splits: Sequence[str]) -> dict[str, str]:
    pairs = zip(rows, splits, strict=True)
    return {row.conversation_hash(): split for row, split in pairs if split not in (AMBIGUOUS, "train")}


def _write(writer: DataWriter, spec: Mix, files: RowFiles, assigned: Sequence[tuple[MixRow, str]]) -> None:
    """Write the held-out rows and the copies of the training rows, in the order of the recipe."""
    for (component, _, _), _ in assigned:
        writer.stats.sources[component.name] = writer.stats.sources.get(component.name, 0) + 1
    splits = {row.location: split for row, split in assigned if split != "train"}
    for row in mixing.shuffle(splits, spec.seed):
        writer.keep(splits[row], files.row(row))
    trained = [
        row.location
        for row, split in assigned
        if split == "train"
        for _ in range(mixing.copies(row, row.component, spec.seed))
    ]
    seen: set[RowLocation] = set()
    rows = mixing.shuffle(trained, spec.seed)
    if spec.order:
        rows, note = spec.order.sort(rows, files)
        writer.stats.notes += (note,) if note else ()
    for row in rows:
        (writer.write if row in seen else writer.keep)("train", files.row(row))
        seen.add(row)
