"""The reader of rows: forms that differ between files, rows that are refused, and the speed of canonical rows.

    ./run python benchmarks/reader.py                  # --rows FOLDER: also count the rows that are refused there

Each form of the tests is read from a line, from the same line with an unrelated key that has every hint of markup, from
an array, and from a Parquet file, where Parquet can hold it. Speed is CPU time, the best of five runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from punie_build.data.ingest import to_chat_row
from punie_build.data.readers.discovery import format_of
from punie_build.data.readers.records import read_records
from punie_build.data.synthetic.generator import sample
from tests.unit.data import test_one_reader as law

ROWS = 3000


def count_differences() -> tuple[int, int, int]:
    """Return the number of forms, of those that Parquet can hold, and of those that differ between files."""
    tables = different = 0
    for record in law.FORMS.values():
        with tempfile.TemporaryDirectory() as folder:
            has_table = law.write_parquet(Path(folder, "probe.parquet"), record)
            tables += has_table
            try:
                law.test_a_row_is_the_same_from_every_file(Path(folder), record)
            except AssertionError:
                different += 1
    return len(law.FORMS), tables, different


def speed() -> tuple[float, float]:
    """Return megabytes and thousands of rows per second of canonical rows."""
    lines = [msgspec.json.encode(sample(0, index)) for index in range(ROWS)]
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for line in lines:
            to_chat_row(line, "auto")
        best = min(best, time.process_time() - started)
    return sum(map(len, lines)) / best / 1e6, ROWS / best / 1e3


def count_refused(folder: Path) -> tuple[int, int]:
    """Return the number of rows in all data files below a folder, and of those that are refused."""
    total = refused = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and format_of(path.name)):
        for _, record in read_records(path):
            total += 1
            try:
                if isinstance(record, str):
                    raise ValueError(record)
                to_chat_row(record, "auto")
            except ValueError as error:
                refused += 1
                print(f"{path}: {error}", file=sys.stderr)
    return total, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="a folder of data files")
    options = parser.parse_args()
    forms, tables, different = count_differences()
    print(f"{forms} forms ({tables} also from Parquet): {different} differ between files")
    megabytes, rows = speed()
    print(f"canonical rows: {megabytes:.0f} MB/s, {rows:.0f} thousand rows/s of CPU time")
    if options.rows:
        total, refused = count_refused(options.rows)
        print(f"{total:,} rows: {refused} refused")


if __name__ == "__main__":
    main()
