"""Write the files of a data folder: train, valid, test and dropped as JSONL, and the counts as `stats.json`."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec
from msgspec import Raw, Struct

from punie_build.data import held_out, jsonl, untrained
from punie_build.data.example import SPLITS, Row, decode_example
from punie_build.data.filter_chain import FilteredBlock
from punie_build.data.stats import SplitCounts, Stats, read_stats, write_stats
from punie_build.data.unreadable import UnreadableRow

NULL = Raw(b"null")
BUFFER = 2**16  # bytes; holds single rows, while a block of rows is larger and bypasses the buffer


class DroppedRow(Struct, frozen=True, omit_defaults=True):
    """A line of `dropped.jsonl`: a row, the split it came from and the reason for which it was dropped.

    An unreadable row has no `example`; it has its text as `line`, and the reader's error message as `why`.
    """

    reason: str
    split: str
    example: Raw = NULL
    why: str | None = None
    line: str | None = None


decode_dropped = msgspec.json.Decoder(DroppedRow).decode
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_GAP = Raw(b'"\x00"')  # no text in JSON has this byte


def _append(source: IO[bytes], target: IO[bytes]) -> None:
    """Append a file to another one, in the kernel if the system can, which copies no bytes on some file systems."""
    target.flush()
    remaining = os.fstat(source.fileno()).st_size
    with suppress(AttributeError, OSError):  # not on this system, or not between these files
        while remaining and (count := os.copy_file_range(source.fileno(), target.fileno(), remaining)):
            remaining -= count
    if remaining:
        shutil.copyfileobj(source, target, jsonl.BLOCK_BYTES)


class DataWriter:
    """The open files of a data folder. Counts the rows that it writes.

    Unless it `expects_untrained`, no block of rows has a message of weight 0, and none is searched for them.
    """

    def __init__(self, out: Path, expects_untrained: bool = True) -> None:
        self.expects_untrained = expects_untrained
        self.out, self.stack = out, ExitStack()
        self.stats = Stats({split: SplitCounts(dropped={}, filters={}) for split in SPLITS}, categories={}, sources={})
        self.has_untrained = False

    def __enter__(self) -> DataWriter:
        self.files = {
            split: self.stack.enter_context((self.out / f"{split}.jsonl").open("wb", buffering=BUFFER))
            for split in (*SPLITS, "dropped")
        }
        return self

    def keep(self, split: str, row: Row) -> None:
        """Count a row as seen and kept, and write it."""
        counts = self.stats.splits[split]
        counts.seen += 1
        counts.kept += 1
        self.write(split, row)

    def write(self, split: str, row: Row) -> None:
        """Write a row without counting it as seen: the copies of an upsampled row are one row that was read."""
        self.files[split].write(row.line + b"\n")
        self.has_untrained = self.has_untrained or untrained.has_untrained([row.line])
        self.stats.splits[split].rows += 1
        self.stats.messages += len(row.example.messages)
        if category := row.example.category:
            self.stats.categories[category] = self.stats.categories.get(category, 0) + 1

    def drop(self, split: str, row: Row, reason: str) -> None:
        """Write a row to `dropped.jsonl`."""
        self.stats.splits[split].seen += 1
        self._drop([DroppedRow(reason, split, Raw(row.line))])

    def drop_unreadable(self, split: str, row: UnreadableRow) -> None:
        """Write the text of an unreadable row to `dropped.jsonl`."""
        self.stats.splits[split].seen += 1
        self._drop([DroppedRow("unreadable", split, why=row.reason, line=row.line.decode("utf-8", "replace"))])

    def write_block(self, split: str, block: FilteredBlock, reasons: tuple[str, ...]) -> None:
        """Write a block of rows that a filter chain tested, with the lines unchanged."""
        counts, stats = self.stats.splits[split], self.stats
        counts.seen += len(block.kept) + len(block.dropped)
        counts.kept += len(block.kept)
        counts.rows += len(block.kept)
        stats.messages += block.messages
        stats.changed += block.changed
        for category, count in block.categories.items():
            stats.categories[category] = stats.categories.get(category, 0) + count
        content = b"".join(block.kept)
        if self.expects_untrained and not self.has_untrained and untrained.WEIGHT.search(content):
            self.has_untrained = untrained.has_untrained(block.kept)
        self.files[split].write(content)
        self._drop_lines(split, block.dropped, reasons)

    def append(self, folder: Path) -> None:
        """Add the rows and counts of another writer's folder, then delete the folder."""
        for name, file in self.files.items():
            with (folder / f"{name}.jsonl").open("rb") as other:
                _append(other, file)
        self.stats.add(read_stats(folder))
        self.has_untrained = self.has_untrained or (folder / untrained.FILE).exists()
        shutil.rmtree(folder)

    def withhold(self, changed: bool, inherited: Mapping[str, str] | None = None) -> None:
        """Write `held-out.txt`, and drop training rows that are equal to a held-out row.

        `inherited` has the held-out rows of the source. Unless rows `changed` since they were split, no such training
        row exists.
        """
        for file in self.files.values():
            file.flush()
        own = held_out.from_rows(self.out) if changed or inherited is None else {}
        hashes = held_out.merge([inherited or {}, own])
        held_out.write(self.out, hashes)
        if changed and hashes:
            self._drop_copies(hashes)

    def _drop_copies(self, hashes: Mapping[str, str]) -> None:
        path = self.out / "train.jsonl"
        rows = (Row(line.rstrip(b"\r\n"), decode_example(line)) for lines in jsonl.read_blocks(path) for line in lines)
        copies = {number: row for number, row in enumerate(rows) if row.example.conversation_hash() in hashes}
        if not copies:
            return
        remaining = self.out / "train.jsonl.new"
        with path.open("rb") as old, remaining.open("wb") as new:
            new.writelines(line for number, line in enumerate(old) if number not in copies)
        self.files["train"].close()
        remaining.replace(path)
        self.files["train"] = self.stack.enter_context(path.open("ab", buffering=BUFFER))
        counts = self.stats.splits["train"]
        for row in copies.values():
            counts.kept -= 1
            counts.rows -= 1
            self.stats.messages -= len(row.example.messages)
            if category := row.example.category:
                self.stats.categories[category] -= 1
            self._drop([DroppedRow("held-out", "train", Raw(row.line))])

    def _drop_lines(self, split: str, lines: Sequence[tuple[int, bytes]], reasons: tuple[str, ...]) -> None:
        """Write lines with the index of their filter, as `_drop` does; there are many in a block."""
        dropped = self.stats.splits[split].dropped
        for index, count in Counter(index for index, _ in lines).items():
            dropped[reasons[index]] = dropped.get(reasons[index], 0) + count
        rows = (_encode(DroppedRow(reason, split, _GAP)).partition(bytes(_GAP)) for reason in reasons)
        around = [(before, after + b"\n") for before, _, after in rows]
        parts: list[bytes] = []
        for index, line in lines:
            before, after = around[index]
            parts += (before, line.rstrip(), after)
        self.files["dropped"].write(b"".join(parts))

    def _drop(self, rows: Sequence[DroppedRow]) -> None:
        for row in rows:
            dropped = self.stats.splits[row.split].dropped
            dropped[row.reason] = dropped.get(row.reason, 0) + 1
        self.files["dropped"].write(_encode_lines(rows))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()
        if kind is None:
            if self.has_untrained:
                untrained.write(self.out)
            self.stats.categories = dict(sorted(self.stats.categories.items()))
            write_stats(self.out, self.stats)
