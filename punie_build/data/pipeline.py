"""Data steps: datasets, stages and mixes as folders of train, valid, test, dropped and stats.

Every example that comes in is kept or dropped with the reason: `seen = kept + dropped`, for each split.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec
from msgspec import Struct

from punie_build.data import jsonl, split_lock
from punie_build.data import mix as mixing
from punie_build.data import split as splitting
from punie_build.data.example import SPLITS, Row, decode_example, parse
from punie_build.data.filter_chain import Chain
from punie_build.data.filter_chain import Sifted as Sift
from punie_build.data.filters.union import Context, Scored
from punie_build.data.ingest import UnreadableRow, ingest, require_readable
from punie_build.data.jsonl import ByteRange
from punie_build.data.mix import Part
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split
from punie_build.engine.gates import SHARES
from punie_build.errors import DataError
from punie_build.runtime import parallel, worker_pool
from punie_build.storage import paths as layout

MOST = 100  # categories whose share is told: in some sets every row has one of its own


class Asked(Struct, frozen=True, rename={"came": "in", "went": "out"}):
    """How many rows a filter was asked about, and how many went on."""

    came: int
    went: int


class Sifted(Struct):
    """Counts of one split: what came in, what stayed, and what each reason took; `filters` say the same step by step. `rows`
    are the lines of its file, with the copies of upsampled rows."""

    seen: int = 0
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = {}
    filters: dict[str, Asked] = {}

    @property
    def retention(self) -> float:
        return self.kept / self.seen if self.seen else 1.0


class Stats(Struct):
    """`stats.json` of a data folder. `reasons` are the filters in their order; `changed` counts the rows that maps rewrote;
    `sources` what a mix took from each."""

    splits: dict[str, Sifted]
    messages: int = 0
    categories: dict[str, int] = {}
    reasons: tuple[str, ...] = ()
    sources: dict[str, int] = {}
    changed: int = 0

    @property
    def total(self) -> Sifted:
        total = Sifted(dropped={})
        for split in self.splits.values():
            total.seen, total.kept = total.seen + split.seen, total.kept + split.kept
            total.rows += split.rows
            total.dropped = dict(Counter(total.dropped) + Counter(split.dropped))
        return total

    def add(self, other: Stats) -> None:
        """Count what another counted, too."""
        for split, more in other.splits.items():
            counts = self.splits[split]
            counts.seen, counts.kept, counts.rows = (
                counts.seen + more.seen,
                counts.kept + more.kept,
                counts.rows + more.rows,
            )
            counts.dropped = dict(Counter(counts.dropped) + Counter(more.dropped))
        self.messages, self.changed = self.messages + other.messages, self.changed + other.changed
        self.categories = dict(Counter(self.categories) + Counter(other.categories))

    def metrics(self) -> dict[str, float]:
        """What gates may ask of data: shares of categories are of all rows."""
        total = self.total
        most = sorted(self.categories, key=lambda category: -self.categories[category])[:MOST]
        return (
            {"examples": total.kept, "dropped": total.seen - total.kept, "retention": total.retention}
            | {"rows": total.rows, **{split: counts.rows for split, counts in self.splits.items()}}
            | {f"{SHARES}.{category}": self.categories[category] / total.rows for category in sorted(most)}
        )


def stats(folder: Path) -> Stats:
    return msgspec.json.decode((folder / "stats.json").read_bytes(), type=Stats)


BUFFER = 2**16  # bytes of single rows; a block of them is more, and goes past the buffer


class Writer:
    """The files of a data folder, open; counts what it writes."""

    def __init__(self, out: Path) -> None:
        self.out, self.stack = out, ExitStack()
        self.stats = Stats({split: Sifted(dropped={}, filters={}) for split in SPLITS}, categories={}, sources={})

    def __enter__(self) -> Writer:
        self.files = {
            split: self.stack.enter_context((self.out / f"{split}.jsonl").open("wb", buffering=BUFFER))
            for split in (*SPLITS, "dropped")
        }
        return self

    def keep(self, split: str, row: Row) -> None:
        counts = self.stats.splits[split]
        counts.seen += 1
        counts.kept += 1
        self.put(split, row)

    def put(self, split: str, row: Row) -> None:
        """Write a row, seen before or not: copies of an upsampled row are written, not seen."""
        self.files[split].write(row.line + b"\n")
        self.stats.splits[split].rows += 1
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

    def unreadable(self, split: str, row: UnreadableRow) -> None:
        counts = self.stats.splits[split]
        counts.seen += 1
        counts.dropped["unreadable"] = counts.dropped.get("unreadable", 0) + 1
        said = {"reason": "unreadable", "split": split, "why": row.reason, "line": row.line.decode("utf-8", "replace")}
        self.files["dropped"].write(msgspec.json.encode(said) + b"\n")

    def block(self, split: str, sifted: Sift, reasons: tuple[str, ...]) -> None:
        """Write a block of a stage: the kept lines as they are, the dropped ones with their reason."""
        counts, stats = self.stats.splits[split], self.stats
        counts.seen += len(sifted.kept) + len(sifted.dropped)
        counts.kept += len(sifted.kept)
        counts.rows += len(sifted.kept)
        stats.messages += sifted.messages
        stats.changed += sifted.changed
        for category, count in sifted.categories.items():
            stats.categories[category] = stats.categories.get(category, 0) + count
        for place, _ in sifted.dropped:
            counts.dropped[reasons[place]] = counts.dropped.get(reasons[place], 0) + 1
        self.files[split].write(b"".join(sifted.kept))
        heads = [b'{"reason":%b,"split":"%b","example":' % (msgspec.json.encode(r), split.encode()) for r in reasons]
        self.files["dropped"].writelines(b"%b%b}\n" % (heads[place], line.rstrip()) for place, line in sifted.dropped)

    def append(self, folder: Path) -> None:
        """Add what another writer made, and remove it."""
        for name, file in self.files.items():
            with (folder / f"{name}.jsonl").open("rb") as more:
                shutil.copyfileobj(more, file, jsonl.BLOCK_BYTES)
        self.stats.add(stats(folder))
        shutil.rmtree(folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()
        if kind is None:
            self.stats.categories = dict(sorted(self.stats.categories.items()))
            (self.out / "stats.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(self.stats), indent=2) + b"\n"
            )


def dataset(
    name: str, spec: Dataset, root: Path, out: Path, scratch: Path | None = None, held: Path | None = None
) -> Stats:
    """Read a source. Raises DataError naming every line that is not an example. `held` is the file of sides given before."""
    for place in spec.source.inputs():
        if not (root / place).exists():
            raise DataError(f"dataset.{name}: {place}: not there - put the data there, or correct `path`")
    with Writer(out) as writer, tempfile.TemporaryFile(dir=out) as unsplit:
        found = ingest(root, spec.source, spec.dialect, scratch or out / "scratch")
        for side, row in found if spec.unreadable == "drop" else require_readable(found):
            if isinstance(row, UnreadableRow):
                writer.unreadable(side or "train", row)
            elif side:
                writer.keep(side, row)
            else:
                unsplit.write(row.line + b"\n")

        def again() -> Iterator[Row]:
            unsplit.seek(0)
            return (parse(line.rstrip(b"\n")) for line in unsplit)

        sides = _sides(lambda: (each.example for each in again()), spec.split, out, held)
        for side, row in zip(sides, again(), strict=True):
            if side == splitting.BETWEEN:
                writer.drop("train", row, "between")
            else:
                writer.keep(side, row)
    if not writer.stats.total.kept:
        raise DataError(f"dataset.{name}: no examples at all - is `path` the right folder?")
    return writer.stats


def _sides(stream: splitting.Stream, split: Split, out: Path, held: Path | None) -> list[str]:
    """The side of every example. What was given is written beside the rows, for the next time."""
    if not (split.lock and held):
        return splitting.sides(stream, split)
    sides, names = splitting.assigned(stream, split, split_lock.read(held, split))
    if sides:
        split_lock.write(out / layout.REMEMBERED, split, names)
    return sides


PIECE = 16 * 2**20  # bytes that a core sifts at a time
SLOW = 2**20  # the same for a chain with a filter that scores


class Portion(NamedTuple):
    """A piece of a stage's source, to be sifted into a folder of its own."""

    spec: Stage
    source: Path
    out: Path
    context: Context
    piece: ByteRange


def stage(
    name: str,
    spec: Stage,
    source: Path,
    out: Path,
    context: Context | None = None,
    cores: int = 1,
    hollow: bool = False,
) -> Stats:
    """Sift: the first filter to object is the reason. Raises DataError if a split that had rows has none left, unless it may be
    `hollow`.

    With `cores` rows are sifted by so many processes, where no filter needs to see them all; the result is the same.
    """
    chain = Chain(spec.maps, spec.filters, context or Context())
    scored = any(isinstance(filter_, Scored) for filter_ in spec.filters)
    pieces = [] if chain.wholes else jsonl.byte_ranges(source, SLOW if scored else PIECE)
    with Writer(out) as writer, tempfile.TemporaryDirectory(dir=out) as parts:
        writer.stats.reasons = chain.reasons
        if min(cores, len(pieces)) < 2:
            _sift(chain, source, writer, None)
        else:
            portions = [
                Portion(spec, source, Path(parts, str(n)), chain.context, piece) for n, piece in enumerate(pieces)
            ]
            for folder in parallel.map_items(
                portions,
                lambda portion: _sift(chain, source, writer, [portion.piece]),
                lambda portion: worker_pool.run(_portion, portion),
                cores - 1,
            ):
                writer.append(folder)
        for split, counts in writer.stats.splits.items():
            left = counts.seen
            for reason in chain.reasons:
                counts.filters[reason] = Asked(left, left := left - counts.dropped.get(reason, 0))
            if counts.seen and not (counts.kept or hollow):
                worst = max(counts.dropped, key=lambda reason: counts.dropped[reason])
                raise DataError(
                    f"stage.{name}: {split} is empty: the filter '{worst}' dropped {counts.dropped[worst]} of {counts.seen} examples - loosen it, or give {split} more"
                )
    return writer.stats


def _sift(chain: Chain, source: Path, writer: Writer, pieces: Sequence[ByteRange] | None) -> None:
    for split, sifted in chain.sift(source, pieces):
        writer.block(split, sifted, chain.reasons)


def _portion(work: Portion) -> Path:
    """In a worker: the folder of one piece."""
    work.out.mkdir()
    with Writer(work.out) as writer:
        _sift(Chain(work.spec.maps, work.spec.filters, work.context), work.source, writer, [work.piece])
    return work.out


class Place(NamedTuple):
    """Where a row lies: rows of a mix are not held in memory, about 200 bytes each are."""

    file: int
    offset: int
    length: int
    name: str

    def content_hash(self) -> str:
        return self.name


class Files:
    """Files of rows, open for reading anywhere in them."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        self.paths = paths
        self.files = [stack.enter_context(path.open("rb")) for path in paths]

    def places(self) -> Iterator[Place]:
        for number, path in enumerate(self.paths):
            offset = 0
            for lines in jsonl.read_blocks(path):
                for line in lines:
                    yield Place(number, offset, len(line), decode_example(line).content_hash())
                    offset += len(line)

    def line(self, place: Place) -> bytes:
        return os.pread(self.files[place.file].fileno(), place.length, place.offset)

    def row(self, place: Place) -> Row:
        line = self.line(place).rstrip(b"\r\n")
        return Row(line, decode_example(line))


def mix(
    name: str, spec: Mix, sources: Sequence[Path], out: Path, held: Path | None = None, hollow: bool = False
) -> Stats:
    """Merge, drop twins, split anew, shuffle. Raises DataError if nothing is left to train or to validate on, unless it may be
    `hollow`. `held` is the file of sides given before."""
    with ExitStack() as stack:
        taken: list[tuple[Part, Place]] = []
        paths = [source / f"{split}.jsonl" for source in sources for split in SPLITS]
        files = Files(paths, stack)
        everything = list(files.places())
        for number, part in enumerate(spec.parts()):
            mine = [place for place in everything if place.file // len(SPLITS) == number]
            taken += [(part, place) for place in mixing.choose(mine, part, spec.seed)]
        first, twins = mixing.unique(taken)
        sides = _sides(lambda: (files.row(place).example for _, place in first), spec.split, out, held)
        with Writer(out) as writer:
            sided = list(zip(first, sides, strict=True))
            _write_mix(writer, spec, files, [each for each in sided if each[1] != splitting.BETWEEN])
            for _, place in twins:
                writer.drop("train", files.row(place), "twin")
            for (_, place), side in sided:
                if side == splitting.BETWEEN:
                    writer.drop("train", files.row(place), "between")
    for split, share in (("train", 1.0), ("valid", spec.split.valid), ("test", spec.split.test)):
        if share and not (writer.stats.splits[split].kept or hollow):
            raise DataError(
                f"mix.{name}: {split} is empty: {len(first)} rows are too few for this split, and those of one question are on one side - add data, or change split.{split} or split.group_by"
            )
    return writer.stats


def _write_mix(writer: Writer, spec: Mix, files: Files, first: list[tuple[tuple[Part, Place], str]]) -> None:
    writer.stats.reasons = ("twin", "between")
    for (part, _), _ in first:
        writer.stats.sources[part.name] = writer.stats.sources.get(part.name, 0) + 1
    held = {place: side for (_, place), side in first if side != "train"}
    for place in mixing.shuffled(held, spec.seed):
        writer.keep(held[place], files.row(place))
    copies = [
        place
        for (part, place), side in first
        if side == "train"
        for _ in range(mixing.repeated(place, part, spec.seed))
    ]
    met: set[Place] = set()
    for place in mixing.shuffled(copies, spec.seed):
        (writer.put if place in met else writer.keep)("train", files.row(place))
        met.add(place)
