"""Build datasets, stages and mixes: each is a folder with train, valid, test and dropped rows, and `stats.json`.

Every row that is read is either kept or dropped with a reason: `seen = kept + dropped`, for each split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from punie_build.data import jsonl, split_lock
from punie_build.data import mix as mixing
from punie_build.data import split as splitting
from punie_build.data.example import SPLITS, Row, parse
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import FilterContext, ScoredFilter
from punie_build.data.ingest import UnreadableRow, ingest, require_readable
from punie_build.data.jsonl import ByteRange
from punie_build.data.mix import MixComponent
from punie_build.data.row_files import RowFiles, RowLocation
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import AMBIGUOUS, ExampleStream, Split
from punie_build.data.stats import FilterCounts, Stats
from punie_build.data.writer import DataWriter
from punie_build.errors import DataError
from punie_build.runtime import parallel, worker_pool
from punie_build.storage import paths

SHARD_BYTES = 16 * 2**20  # bytes of a stage's source that a worker filters at a time
SCORED_SHARD_BYTES = 2**20  # the same for a chain with a ScoredFilter, which is slow


def build_dataset(
    name: str, spec: Dataset, root: Path, out: Path, scratch: Path | None = None, lock_path: Path | None = None
) -> Stats:
    """Read a source into `out`, and split it if the source has no splits of its own.

    `lock_path` is the file with the split assignments of earlier builds. Raises DataError that lists the lines that are
    not examples.
    """
    for path in spec.source.inputs():
        if not (root / path).exists():
            raise DataError(f"dataset.{name}: {path}: not found - put the data there, or correct `path`")
    with DataWriter(out) as writer, tempfile.TemporaryFile(dir=out) as unsplit:
        records = ingest(root, spec.source, spec.dialect, scratch or out / "scratch")
        for split, row in records if spec.unreadable == "drop" else require_readable(records):
            if isinstance(row, UnreadableRow):
                writer.drop_unreadable(split or "train", row)
            elif split:
                writer.keep(split, row)
            else:
                unsplit.write(row.line + b"\n")

        def unsplit_rows() -> Iterator[Row]:
            unsplit.seek(0)
            return (parse(line.rstrip(b"\n")) for line in unsplit)

        splits = _assign_splits(lambda: (row.example for row in unsplit_rows()), spec.split, out, lock_path)
        for split, row in zip(splits, unsplit_rows(), strict=True):
            if split == AMBIGUOUS:
                writer.drop("train", row, "between")
            else:
                writer.keep(split, row)
    if not writer.stats.total.kept:
        raise DataError(f"dataset.{name}: no examples - check that `path` is the right folder")
    return writer.stats


def _assign_splits(stream: ExampleStream, spec: Split, out: Path, lock_path: Path | None) -> list[str]:
    """Assign each example to a split, and write the assignments to `splits.lock` so that the next build keeps them."""
    if not (spec.lock and lock_path):
        return splitting.assign(stream, spec)
    splits, groups = splitting.assign_locked(stream, spec, split_lock.read(lock_path, spec))
    if splits:
        split_lock.write(out / paths.SPLITS_LOCK, spec, groups)
    return splits


class StageShard(NamedTuple):
    """A part of a stage's source, and the folder into which a worker filters it."""

    spec: Stage
    source: Path
    out: Path
    context: FilterContext
    byte_range: ByteRange


def build_stage(
    name: str,
    spec: Stage,
    source: Path,
    out: Path,
    context: FilterContext | None = None,
    cores: int = 1,
    allow_empty: bool = False,
) -> Stats:
    """Filter the data folder `source` into `out`. The reason of a dropped row is the first filter that rejects it.

    With `cores` above 1, chains without a DatasetFilter run in that many processes; the output is the same. Raises
    DataError if all rows of a split are dropped, unless `allow_empty`.
    """
    chain = FilterChain(spec.maps, spec.filters, context or FilterContext())
    scored = any(isinstance(filter_, ScoredFilter) for filter_ in spec.filters)
    byte_ranges = (
        [] if chain.dataset_filters else jsonl.byte_ranges(source, SCORED_SHARD_BYTES if scored else SHARD_BYTES)
    )
    with DataWriter(out) as writer, tempfile.TemporaryDirectory(dir=out) as scratch:
        writer.stats.reasons = chain.reasons
        if min(cores, len(byte_ranges)) < 2:
            _filter(chain, source, writer, None)
        else:
            shards = [
                StageShard(spec, source, Path(scratch, str(n)), chain.context, byte_range)
                for n, byte_range in enumerate(byte_ranges)
            ]
            for folder in parallel.map_items(
                shards,
                lambda shard: _filter(chain, source, writer, [shard.byte_range]),
                lambda shard: worker_pool.run(_filter_shard, shard),
                cores - 1,
            ):
                writer.append(folder)
        _count_filters(writer.stats, chain.reasons)
        if not allow_empty:
            _require_rows(name, writer.stats)
    return writer.stats


def _filter(chain: FilterChain, source: Path, writer: DataWriter, byte_ranges: Sequence[ByteRange] | None) -> None:
    for split, block in chain.run(source, byte_ranges):
        writer.write_block(split, block, chain.reasons)


def _filter_shard(shard: StageShard) -> Path:
    """Filter one shard, in a worker process, and return its folder."""
    shard.out.mkdir()
    with DataWriter(shard.out) as writer:
        chain = FilterChain(shard.spec.maps, shard.spec.filters, shard.context)
        _filter(chain, shard.source, writer, [shard.byte_range])
    return shard.out


def _count_filters(stats: Stats, reasons: Sequence[str]) -> None:
    for counts in stats.splits.values():
        rows = counts.seen
        for reason in reasons:
            counts.filters[reason] = FilterCounts(rows, rows := rows - counts.dropped.get(reason, 0))


def _require_rows(name: str, stats: Stats) -> None:
    for split, counts in stats.splits.items():
        if counts.seen and not counts.kept:
            worst = max(counts.dropped, key=lambda reason: counts.dropped[reason])
            raise DataError(
                f"stage.{name}: {split} is empty: the filter '{worst}' dropped {counts.dropped[worst]} "
                f"of {counts.seen} examples - relax the filter, or add {split} data"
            )


def build_mix(
    name: str,
    spec: Mix,
    sources: Sequence[Path],
    out: Path,
    lock_path: Path | None = None,
    allow_empty: bool = False,
) -> Stats:
    """Merge data folders into `out`: drop exact duplicates, split again, shuffle.

    `lock_path` is the file with the split assignments of earlier builds. Raises DataError if a split that the recipe
    asks for has no rows, unless `allow_empty`.
    """
    with ExitStack() as stack:
        files = RowFiles([source / f"{split}.jsonl" for source in sources for split in SPLITS], stack)
        locations = list(files.locations())
        chosen: list[tuple[MixComponent, RowLocation]] = []
        for number, component in enumerate(spec.parts()):
            rows = [location for location in locations if location.file // len(SPLITS) == number]
            chosen += [(component, row) for row in mixing.choose(rows, component, spec.seed)]
        unique, duplicates = mixing.dedup(chosen)
        splits = _assign_splits(lambda: (files.row(row).example for _, row in unique), spec.split, out, lock_path)
        with DataWriter(out) as writer:
            assigned = list(zip(unique, splits, strict=True))
            _write_mix(writer, spec, files, [(row, split) for row, split in assigned if split != AMBIGUOUS])
            for _, row in duplicates:
                writer.drop("train", files.row(row), "twin")
            for (_, row), split in assigned:
                if split == AMBIGUOUS:
                    writer.drop("train", files.row(row), "between")
    for split, share in (("train", 1.0), ("valid", spec.split.valid), ("test", spec.split.test)):
        if share and not (writer.stats.splits[split].kept or allow_empty):
            raise DataError(
                f"mix.{name}: {split} is empty: {len(unique)} rows are too few for this split, because rows with the "
                f"same question stay together - add data, or change split.{split} or split.group_by"
            )
    return writer.stats


def _write_mix(
    writer: DataWriter, spec: Mix, files: RowFiles, assigned: list[tuple[tuple[MixComponent, RowLocation], str]]
) -> None:
    writer.stats.reasons = ("twin", "between")
    for (component, _), _ in assigned:
        writer.stats.sources[component.name] = writer.stats.sources.get(component.name, 0) + 1
    held_out = {row: split for (_, row), split in assigned if split != "train"}
    for row in mixing.shuffle(held_out, spec.seed):
        writer.keep(held_out[row], files.row(row))
    copies = [
        row
        for (component, row), split in assigned
        if split == "train"
        for _ in range(mixing.copies(row, component, spec.seed))
    ]
    seen: set[RowLocation] = set()
    for row in mixing.shuffle(copies, spec.seed):
        (writer.write if row in seen else writer.keep)("train", files.row(row))
        seen.add(row)
