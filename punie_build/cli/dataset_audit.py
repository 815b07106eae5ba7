"""The command `dataset audit`: report problems of a dataset.

Rows are read and converted once. Each is written to a temporary file behind a prefix that records its location, its
dialect and the marker that its conversion removed, because the audit reads the rows several times.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import Struct

from punie_build.cli.dataset_rows import print_skipped
from punie_build.cli.options import LOGS, Options, base_folder, json_option, layout_of, path_argument, print_json
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
from punie_build.data.writer import decode_dropped
from punie_build.errors import ModelError
from punie_build.runtime.child import Child
from punie_build.storage import paths


class RowOrigin(Struct, frozen=True, array_like=True):
    """The location of a row in its source, its dialect there, and the marker that its conversion removed."""

    location: str
    dialect: str
    removed_marker: str


def audit(root: Path, options: Options) -> int:
    """Report leaks, duplicates, repeated templates, stray markers and malformed calls, with the first rows of each."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        unreadable, unknown_keys = _write_rows(root, options, folder)
        findings = list(auditing.audit(lambda: _audited_rows(folder)))
        for path in (options.path, *(options.held_out or ())):
            rows = list(_held_out_rows(root, path, options))
            hashes = {row.example.conversation_hash(): row.split for row in rows}
            if (root / path / held_out.FILE).exists():
                hashes = held_out.read(root / path)
            findings += auditing.held_out_findings(lambda: _audited_rows(folder), hashes, path)
            if path != options.path:
                findings += auditing.near_copy_findings(lambda: _audited_rows(folder), hashes, rows, path)
        if options.base:
            findings += auditing.roundtrip_findings(_round_trip(root, options.base, folder), options.base)
        total = sum(1 for _ in _audited_rows(folder))
    findings += auditing.unknown_key_findings(unknown_keys, total)
    if unreadable and options.unreadable == "error":
        finding = auditing.AuditFinding(
            problem="rows that cannot be read",
            count=len(unreadable),
            total=0,
            advice='fix them, or give the dataset unreadable = "drop"',
            locations=tuple(unreadable[:3]),
        )
        findings.insert(0, finding)
    if options.json:
        print_json(findings)
    else:
        print("\n".join(finding.sentence() for finding in findings) or "no problems found")
    return 1 if findings else 0


def _held_out_rows(root: Path, place: str, options: Options) -> Iterator[AuditedRow]:
    """Yield the validation and test rows of a place, also those that a stage dropped there."""
    numbers = Counter[str]()
    for split, row in ingest(root, Local(path=place), options.dialect, root / paths.STATE, layout_of(options)):
        numbers[split or "train"] += 1
        if isinstance(row, Row) and split in SPLITS[1:]:
            yield AuditedRow(split, f"{place}, {split} row {numbers[split]}", row.example)
    if (root / place / held_out.FILE).exists():
        lines = chain.from_iterable(jsonl.read_blocks(root / place / "dropped.jsonl"))
        for number, dropped in enumerate(map(decode_dropped, lines), 1):
            if dropped.split in SPLITS[1:] and dropped.line is None:
                yield AuditedRow(dropped.split, f"{place}, dropped row {number}", decode_example(dropped.example))


def _round_trip(root: Path, name: str, folder: Path) -> RoundTripReport:
    """Render the rows with the chat template of a base, and parse their calls again."""
    out, log = folder / "roundtrip.json", root / LOGS / "roundtrip.log"
    arguments = [str(base_folder(root, name)), str(folder), str(out)]
    with Child("punie_build.data.template_roundtrip", arguments, log) as child:
        if child.process.wait() != 0:
            raise ModelError(child.failure("rendering the rows"))
    report = msgspec.json.decode(out.read_bytes(), type=RoundTripReport)
    for problem in report.problems.values():
        problem.places[:] = [_source_location(folder, location) for location in problem.places]
    return report


def _source_location(folder: Path, location: str) -> str:
    """Return the location in the source of a row `SPLIT:NUMBER` of the temporary files."""
    split, _, number = location.partition(":")
    with (folder / f"{split}.jsonl").open("rb") as file:
        prefix, _, _ = next(islice(file, int(number) - 1, None)).partition(b" ")
    return _decode_prefix(prefix).location


def _write_rows(root: Path, options: Options, folder: Path) -> tuple[list[str], Counter[str]]:
    """Write the rows of a file or folder, each behind its prefix.

    Returns the unreadable rows with reasons, and the number of rows that have each unknown key.
    """
    unreadable, unknown_keys = [], Counter[str]()
    path = options.path
    rows = ingest(root, Local(path=path), options.dialect, folder, layout_of(options))
    print_skipped(root, path)
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for (location, record), (split, row) in zip(_records(root / path), rows, strict=True):
            if isinstance(row, UnreadableRow):
                unreadable.append(f"{row.where}: {row.reason}")
            else:
                unknown_keys.update(row.unknown_keys)
                files[split or "train"].write(_encode_prefix(location, record, row) + b" " + row.line + b"\n")
    return unreadable, unknown_keys


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield every record before its conversion, with its file and number: one for each row of `ingest`."""
    for _, file in data_files(path):
        for number, record in read_records(file):
            yield f"{file.name}:{number}", record


def _encode_prefix(location: str, record: Record, row: Row) -> bytes:
    """Return the origin of a row as one word without blanks."""
    table: Any = as_record(msgspec.json.decode(record) if isinstance(record, bytes) else record)
    is_unchanged = isinstance(record, bytes) and row.line == record
    removed = "" if is_unchanged else removed_marker(table, msgspec.json.decode(row.line))
    try:
        dialect = normalize.detect(code_pair_to_chat(table))
    except ValueError:  # only the columns that the user names make it a conversation
        dialect = "messages"
    return quote(msgspec.json.encode(RowOrigin(location, dialect, removed))).encode()


def _decode_prefix(prefix: bytes) -> RowOrigin:
    return msgspec.json.decode(unquote_to_bytes(prefix), type=RowOrigin)


def _audited_rows(folder: Path) -> Iterator[AuditedRow]:
    for split in SPLITS:
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl"):
            for line in lines:
                prefix, _, row = line.partition(b" ")
                origin = _decode_prefix(prefix)
                yield AuditedRow(split, origin.location, decode_example(row), origin.dialect, origin.removed_marker)


def audit_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset audit`."""
    path_argument(command)
    json_option(command)
    command.add_argument(
        "--held-out",
        action="append",
        metavar="PATH",
        help="also count training rows that this dataset, stage or mix holds out, and near copies (may be repeated)",
    )
    command.add_argument(
        "--base", help="also render every row with the chat template of this base, and parse its calls again"
    )
