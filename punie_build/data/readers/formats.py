"""Formats: who reads what, by the end of a file's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from punie_build.data.readers.json_stream import json_of
from punie_build.data.readers.lines import lines_of
from punie_build.data.readers.record import Numbered
from punie_build.data.readers.tables import parquet, table

_UNPACKED: dict[str, Callable[[Path, Iterator[bytes]], Numbered]] = {
    "jsonl": lines_of,
    "ndjson": lines_of,
    "json": json_of,
    "csv": partial(table, delimiter=","),
    "tsv": partial(table, delimiter="\t"),
}
FORMATS = {f"{form}{pack}": read for form, read in _UNPACKED.items() for pack in ("", ".gz", ".zst")} | {
    "parquet": parquet
}
