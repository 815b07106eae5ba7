"""Audit: what is odd about a dataset. One of the commands of `dataset`."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from punie_build.cli.options import Options, base_folder, layout_of, place_option
from punie_build.data import audit as auditing
from punie_build.data import held_out, jsonl
from punie_build.data.audit_checks import AuditedRow, removed_marker
from punie_build.data.dialects import normalize
from punie_build.data.dialects.shapes import as_record
from punie_build.data.example import SPLITS, Row, decode_example
from punie_build.data.ingest import ingest
from punie_build.data.readers.discovery import data_files
from punie_build.data.readers.record import Record
from punie_build.data.readers.records import read_records
from punie_build.data.sources import Local, code_pair_to_chat
from punie_build.data.template_roundtrip import RoundTripReport
from punie_build.data.unreadable import UnreadableRow
from punie_build.errors import ModelError
from punie_build.runtime.child import Child
from punie_build.storage import paths


def audit(root: Path, options: Options) -> int:
    """Look for leaks, duplicates, templates, stray markers, calls that do not fit: counted, with the first places."""
    with tempfile.TemporaryDirectory() as scratch:
        bad, unknown = _audited(root, options.place, options, Path(scratch))
        found = list(auditing.audit(lambda: _seen(Path(scratch))))
        for place in (options.place, *(options.held_out or ())):
            hashes = _held_out(root, place, options)
            found += auditing.held_out_findings(lambda: _seen(Path(scratch)), hashes, place)
        if options.base:
            found += auditing.roundtrip_findings(_round_trip(root, options.base, Path(scratch)), options.base)
        total = sum(1 for _ in _seen(Path(scratch)))
    found += auditing.unknown_key_findings(unknown, total)
    if bad and options.unreadable == "error":
        advice = 'mend them, or give the dataset unreadable = "drop"'
        found.insert(
            0,
            auditing.AuditFinding(
                problem="rows that cannot be read", count=len(bad), total=0, advice=advice, locations=tuple(bad[:3])
            ),
        )
    print("\n".join(finding.sentence() for finding in found) or "nothing odd found")
    return 1 if found else 0


def _held_out(root: Path, place: str, options: Options) -> dict[str, str]:
    """Return the content hashes of the rows that a place holds back, also those that its target no longer has."""
    if (root / place / held_out.FILE).exists():
        return held_out.read(root / place)
    rows = ingest(root, Local(path=place), options.dialect, root / paths.STATE, layout_of(options))
    return {
        row.content_hash(): split
        for split, row in rows
        if isinstance(row, Row) and split in SPLITS and split != "train"
    }


def _round_trip(root: Path, name: str, folder: Path) -> RoundTripReport:
    """Check the calls of the rows with a base of the recipes, `nano`, or the folder of a model."""
    out = folder / "roundtrip.json"
    log = root / paths.STATE / "logs" / "by-hand" / "roundtrip.log"
    with Child(
        "punie_build.data.template_roundtrip", [str(base_folder(root, name)), str(folder), str(out)], log
    ) as child:
        if child.process.wait() != 0:
            raise ModelError(child.failure("rendering the rows"))
    report = msgspec.json.decode(out.read_bytes(), type=RoundTripReport)
    for problem in report.problems.values():
        problem.places[:] = [_read_from(folder, place) for place in problem.places]
    return report


def _read_from(folder: Path, place: str) -> str:
    """Where the row was read from that is number N of a side here, for `side:N`."""
    split, _, number = place.partition(":")
    with (folder / f"{split}.jsonl").open("rb") as file:
        before, _, _ = next(islice(file, int(number) - 1, None)).partition(b" ")
    return msgspec.json.decode(unquote_to_bytes(before), type=tuple[str, str, str])[0]


def _audited(root: Path, place: str, options: Options, folder: Path) -> tuple[list[str], Counter[str]]:
    """Write the rows of a place, each after a word on what it was before it was read.

    Returns the reasons of unreadable rows, and the number of rows that have each unknown key.
    """
    bad, unknown = [], Counter[str]()
    rows = ingest(root, Local(path=place), options.dialect, folder, layout_of(options))
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for (where, record), (side, row) in zip(_records(root / place), rows, strict=True):
            if isinstance(row, UnreadableRow):
                bad.append(f"{row.where}: {row.reason}")
            else:
                unknown.update(row.unknown_keys)
                files[side or "train"].write(_before(where, record, row) + b" " + row.line + b"\n")
    return bad, unknown


def _records(place: Path) -> Iterator[tuple[str, Record]]:
    """Every record as it stands there, with its file and number: what `ingest` makes a row of, one for one."""
    for _, path in data_files(place):
        for number, record in read_records(path):
            yield f"{path.name}:{number}", record


def _before(where: str, record: Record, row: Row) -> bytes:
    """A word without spaces: the row's place, its dialect, and what reading it took away."""
    table: Any = as_record(msgspec.json.decode(record) if isinstance(record, bytes) else record)
    kept = isinstance(record, bytes) and row.line == record
    taken = "" if kept else removed_marker(table, msgspec.json.decode(row.line))
    try:
        dialect = normalize.detect(code_pair_to_chat(table))
    except ValueError:  # only the columns that the user names make it a conversation
        dialect = "messages"
    return quote(msgspec.json.encode((where, dialect, taken))).encode()


def _seen(folder: Path) -> Iterator[AuditedRow]:
    for split in SPLITS:
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl"):
            for line in lines:
                before, _, row = line.partition(b" ")
                where, dialect, taken = msgspec.json.decode(unquote_to_bytes(before), type=tuple[str, str, str])
                yield AuditedRow(split, where, decode_example(row), dialect, taken)


def audit_options(command: argparse.ArgumentParser) -> None:
    place_option(command)
    command.add_argument(
        "--held-out",
        action="append",
        metavar="PLACE",
        help="also count training rows that this dataset, stage or mix holds back (may be given again)",
    )
    command.add_argument(
        "--base", help="also render every row with the chat template of this base, and read its calls back"
    )
