"""The supported formats: the reader for each suffix of a file's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from punie_build.data.readers.json_lines import read_lines
from punie_build.data.readers.json_stream import read_json
from punie_build.data.readers.record import NumberedRecords
from punie_build.data.readers.tables import read_parquet, read_table

_UNCOMPRESSED: dict[str, Callable[[Path, Iterator[bytes]], NumberedRecords]] = {
    "jsonl": read_lines,
    "ndjson": read_lines,
    "jsonlines": read_lines,
    "json": read_json,
    "traj": read_json,
    "csv": partial(read_table, delimiter=","),
    "tsv": partial(read_table, delimiter="\t"),
}
FORMATS = {f"{form}{suffix}": read for form, read in _UNCOMPRESSED.items() for suffix in ("", ".gz", ".zst")} | {
    "parquet": read_parquet
}
