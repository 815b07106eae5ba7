"""Tables: rows of CSV, TSV and Parquet as dicts."""

from __future__ import annotations

import codecs
import csv
import importlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.jsonl import LONGEST_LINE
from punie_build.data.readers.lines import split
from punie_build.data.readers.record import (
    BLOCK,
    TOO_LONG,
    Numbered,
    Record,
    needed,
    shown,
)
from punie_build.errors import DataError

BATCH = 256  # rows of a Parquet file that are in memory at once
CELLS = ("messages", "tools")  # columns that hold lists, in some tables as JSON text


def table(path: Path, content: Iterator[bytes], delimiter: str) -> Numbered:
    """CSV or TSV with a row of names. Numbers are those of the line a row begins on."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # 128 KiB is too little for a conversation
    reader = csv.reader(_rows(path, content), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        if not _utf8(names):
            raise DataError(f"{shown(path)}:1: not UTF-8 - save the file as UTF-8")
        if len(set(names)) < len(names) or "" in names:
            raise DataError(f"{shown(path)}:1: names of columns are empty or double - the first row names the columns")
        at = reader.line_num + 1
        for cells in reader:
            if cells:  # csv gives an empty line as no cells
                yield at, _row(names, cells)
            at = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{shown(path)}:{reader.line_num}: not {'TSV' if delimiter != ',' else 'CSV'}: {error} - quote the cells, and double the quotes in them"
        ) from None


def _rows(path: Path, content: Iterator[bytes]) -> Iterator[str]:
    """The lines as text, with their ends; bytes that are not UTF-8 come through as surrogates."""
    for number, line in enumerate(chain.from_iterable(split(content, returns=True)), 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{shown(path)}:{number}: {TOO_LONG}")
        yield line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8", "surrogateescape") + "\n"


def _row(names: list[str], cells: list[str]) -> Record:
    if len(cells) != len(names):
        return f"{len(cells)} cells in {len(names)} columns - quote the cells, and double the quotes in them"
    if not _utf8(cells):
        return "not UTF-8 - save the file as UTF-8"
    return _decoded(dict(zip(names, cells, strict=True)))


def _utf8(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(record: dict[str, Any]) -> Record:
    """Lists that a table holds as JSON text, as lists; or what is wrong with the text. An empty cell is no list."""
    for name in CELLS:
        if isinstance(text := record.get(name), str):
            try:
                record[name] = msgspec.json.decode(text) if text.strip() else None
            except (msgspec.DecodeError, RecursionError) as error:
                return f"{name}: not JSON: {error} - write the list as JSON text"
            if record[name] is None:
                del record[name]
    return record


def parquet(path: Path, content: Iterator[bytes]) -> Numbered:
    """Rows as plain Python, without the keys that are null.

    A column of structs has one type for all rows, so it fills what a row lacks with nulls: every parameter of every tool of
    the file, in each tool. They cannot be told from nulls that were meant, and go, at any depth of the structs. What is null
    inside a list stays.
    """
    next(content, None)  # says that the file is not there, or in Git LFS
    tables = needed("pyarrow.parquet", shown(path), "Parquet files")
    number = 0
    try:
        with tables.ParquetFile(path, buffer_size=BLOCK) as file:
            if len(set(names := file.schema_arrow.names)) < len(names):
                raise DataError(f"{shown(path)}: names of columns are double - give each column a name of its own")
            rows = chain.from_iterable(batch.to_pylist(maps_as_pydicts="strict") for batch in file.iter_batches(BATCH))
            for number, row in enumerate(rows, 1):
                yield number, _decoded(_bare(row))
    except (importlib.import_module("pyarrow").ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{shown(path)}: not Parquet, or cut short, after row {number} ({reason}) - copy or download it again"
        ) from None
    except (KeyError, OverflowError) as error:  # a key twice in a map, a date after the year 9999
        raise DataError(
            f"{shown(path)}: a value that cannot be read, after row {number} ({error}) - leave its column out"
        ) from None


def _bare(value: Any) -> Any:
    if isinstance(value, dict):  # a map's keys may be anything
        return {str(key): _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value
