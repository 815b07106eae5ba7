"""Build datasets and stages: each is a folder with train, valid, test and dropped rows, and `stats.json`.

Every row that is read is either kept or dropped with a reason: `seen = kept + dropped`, for each split.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from punie_build.data import held_out, jsonl, split_shares, untrained, where_remarks
from punie_build.data.example import Example, Row, parse
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import FilterContext, ScoredFilter
from punie_build.data.ingest import ingest, require_readable
from punie_build.data.jsonl import ByteRange
from punie_build.data.readers.discovery import list_folder
from punie_build.data.readers.record import display_path
from punie_build.data.row_remarks import RowRemarks
from punie_build.data.sources import AnySource, Command, Local
from punie_build.data.spec import Dataset, Stage
from punie_build.data.split import AMBIGUOUS, Split
from punie_build.data.split_lock import assign_splits
from punie_build.data.stats import FilterCounts, Stats
from punie_build.data.unreadable import UnreadableRow, UnreadableRows
from punie_build.data.writer import DataWriter
from punie_build.errors import DataError
from punie_build.runtime import parallel, worker_pool

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
            raise DataError(f"dataset.{name}: {path}: {_missing(spec.source, path)}")
    records = ingest(root, spec.source, spec.dialect, scratch or out / "scratch", spec.layout)
    with DataWriter(out) as writer, tempfile.TemporaryFile(dir=out) as unsplit:
        if isinstance(spec.source, Local):
            writer.stats.notes += list_folder(root / spec.source.path).notes()
        has_splits, unreadable, remarks = False, UnreadableRows(), RowRemarks()
        for split, row in records if spec.unreadable == "drop" else require_readable(records):
            if isinstance(row, UnreadableRow):
                unreadable.add(row)
                writer.drop_unreadable(split or "train", row)
                continue
            writer.stats.add_unknown_keys(row.unknown_keys)
            remarks.add(row.example)
            if split:
                has_splits = True
                writer.keep(split, row)
            else:
                unsplit.write(row.line + b"\n")
        _split_rows(writer, spec, unsplit, lock_path)
        writer.withhold(has_splits)
        if has_splits and isinstance(spec.split, Split):
            writer.stats.notes += split_shares.notes(writer.stats, spec.split, tuple, writer.stats.total.kept)
        writer.stats.notes += remarks.notes()
        writer.stats.notes += tuple(f"not readable: {line}" for line in unreadable.lines())
    if not writer.stats.total.kept:
        raise DataError(f"dataset.{name}: {_no_rows(unreadable, out / 'dropped.jsonl', scratch)}")
    return writer.stats


def _no_rows(unreadable: UnreadableRows, dropped: Path, scratch: Path | None) -> str:
    """Return why a dataset has no rows. Its dropped rows stay in the folder `scratch`."""
    if not unreadable.count:
        return "no examples: the source has no rows - check that `path` is the right folder"
    text = f"no examples: 0 of {unreadable.count} rows could be read"
    if scratch:
        scratch.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dropped, scratch / dropped.name)
        text += f" (all of them, with the reasons: {display_path(scratch / dropped.name)})"
    return "\n".join([f"{text} - correct the source, or name its dialect", *unreadable.lines()])


def _missing(source: AnySource, path: str) -> str:
    """Return advice about an input that does not exist."""
    field = "reads" if path in getattr(source, "reads", ()) else "argv" if isinstance(source, Command) else "path"
    if any(mark in path for mark in "*?["):
        return f"not found - `{field}` takes files and folders, no patterns: name the folder"
    return f"not found - put the data there, or correct `{field}`"


def _split_rows(writer: DataWriter, spec: Dataset, lines: IO[bytes], lock_path: Path | None) -> None:
    """Write rows without a split of their own, each to the split that the recipe assigns to it."""

    def rows() -> Iterator[Row]:
        lines.seek(0)
        return (parse(line.rstrip(b"\n")) for line in lines)

    def examples() -> Iterator[Example]:
        return (row.example for row in rows())

    if not lines.tell():
        return
    if spec.split == "none":
        for row in rows():
            writer.keep("train", row)
        return
    for split, row in zip(assign_splits(examples, spec.split, writer.out, lock_path), rows(), strict=True):
        if split == AMBIGUOUS:
            writer.drop("train", row, "between")
        else:
            writer.keep(split, row)
    writer.stats.notes += split_shares.notes(writer.stats, spec.split, examples, 0)


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
    DataError if all training rows are dropped, unless `allow_empty`; other splits that lose all rows are noted.
    """
    chain = FilterChain(spec.maps, spec.filters, context or FilterContext())
    scored = any(isinstance(filter_, ScoredFilter) for filter_ in spec.filters)
    byte_ranges = (
        [] if chain.dataset_filters else jsonl.byte_ranges(source, SCORED_SHARD_BYTES if scored else SHARD_BYTES)
    )
    with _stage_writer(out, spec, source) as writer, tempfile.TemporaryDirectory(dir=out) as scratch:
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
        writer.withhold(bool(writer.stats.changed), held_out.read(source))
        emptied = _emptied_splits(writer.stats)
        remarks = where_remarks.notes(spec.filters, writer.stats, out)
        counted = (f"{what}: {count:,}" for what, count in (writer.stats.map_counts or {}).items())
        writer.stats.notes += (*emptied.values(), *remarks, *counted)
    if "train" in emptied and not allow_empty:
        raise DataError("\n".join(f"stage.{name}: {text}" for text in (emptied["train"], *remarks)))
    return writer.stats


def _stage_writer(out: Path, spec: Stage, source: Path) -> DataWriter:
    return DataWriter(out, expects_untrained=bool(spec.maps) or untrained.may_have_untrained(source))


def _filter(chain: FilterChain, source: Path, writer: DataWriter, byte_ranges: Sequence[ByteRange] | None) -> None:
    for split, block in chain.run(source, byte_ranges):
        writer.write_block(split, block, chain.reasons)
    writer.stats.add_map_counts(chain.take_counts())


def _filter_shard(shard: StageShard) -> Path:
    """Filter one shard, in a worker process, and return its folder."""
    shard.out.mkdir()
    with _stage_writer(shard.out, shard.spec, shard.source) as writer:
        chain = FilterChain(shard.spec.maps, shard.spec.filters, shard.context)
        _filter(chain, shard.source, writer, [shard.byte_range])
    return shard.out


def _count_filters(stats: Stats, reasons: Sequence[str]) -> None:
    for counts in stats.splits.values():
        rows = counts.seen
        for reason in reasons:
            counts.filters[reason] = FilterCounts(rows, rows := rows - counts.dropped.get(reason, 0))


def _emptied_splits(stats: Stats) -> dict[str, str]:
    """Return a sentence for each split that has lost all its rows, with the filter that dropped most of them."""
    emptied = {}
    for split, counts in stats.splits.items():
        if counts.seen and not counts.kept:
            worst = max(counts.dropped, key=lambda reason: counts.dropped[reason])
            without_rows = ', or train with valid = "none" and keep = "last"' if split == "valid" else ""
            emptied[split] = (
                f"{split} is empty: the filter '{worst}' dropped {counts.dropped[worst]} of {counts.seen} examples"
                f" - relax the filter, or add {split} data{without_rows}"
            )
    return emptied
