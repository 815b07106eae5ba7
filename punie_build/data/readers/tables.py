"""Rows of CSV, TSV and Parquet as dicts."""

from __future__ import annotations

import codecs
import csv
import importlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.lines import split_lines
from punie_build.data.readers.record import (
    CHUNK_BYTES,
    TOO_LONG,
    NumberedRecords,
    Record,
    display_path,
    import_optional,
)
from punie_build.errors import DataError

BATCH_ROWS = 256  # rows of a Parquet file that are in memory at once
LIST_COLUMNS = ("messages", "tools")  # some tables hold these lists as JSON text


def read_table(path: Path, content: Iterator[bytes], delimiter: str) -> NumberedRecords:
    """Yield the rows of a CSV or TSV file with a header, each with the number of the line it begins on."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))  # 128 KiB is too little for a conversation
    reader = csv.reader(_text_lines(path, content), delimiter=delimiter, strict=True)
    try:
        columns = next(reader, [])
        if not _is_utf8(columns):
            raise DataError(f"{display_path(path)}:1: not UTF-8 - save the file as UTF-8")
        if len(set(columns)) < len(columns) or "" in columns:
            raise DataError(
                f"{display_path(path)}:1: empty or duplicate column names - give each column of the header its own name"
            )
        line = reader.line_num + 1
        for cells in reader:
            if cells:  # csv gives an empty line as no cells
                yield line, _record(columns, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{display_path(path)}:{reader.line_num}: not {'TSV' if delimiter != ',' else 'CSV'}: {error}"
            " - quote the cells, and double the quotes in them"
        ) from None


def _text_lines(path: Path, content: Iterator[bytes]) -> Iterator[str]:
    """Yield the lines as text, with line ends; bytes that are not UTF-8 become surrogates."""
    for number, line in enumerate(chain.from_iterable(split_lines(content, keep_returns=True)), 1):
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{display_path(path)}:{number}: {TOO_LONG}")
        yield line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8", "surrogateescape") + "\n"


def _record(columns: list[str], cells: list[str]) -> Record:
    if len(cells) != len(columns):
        return f"{len(cells)} cells in {len(columns)} columns - quote the cells, and double the quotes in them"
    if not _is_utf8(cells):
        return "not UTF-8 - save the file as UTF-8"
    return _decode_lists(dict(zip(columns, cells, strict=True)))


def _is_utf8(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode_lists(record: dict[str, Any]) -> Record:
    """Decode the lists that a table holds as JSON text, or return the error. An empty cell, or an empty list of tools, removes its
    key."""
    for column in LIST_COLUMNS:
        if isinstance(text := record.get(column), str):
            try:
                record[column] = msgspec.json.decode(text) if text.strip() else None
            except (msgspec.DecodeError, RecursionError) as error:
                return f"{column}: not JSON: {error} - write the list as JSON text"
            if record[column] is None or (column == "tools" and record[column] == []):
                del record[column]
    return record


def read_parquet(path: Path, content: Iterator[bytes]) -> NumberedRecords:
    """Yield rows as plain Python values, without keys that are null.

    A column of structs has one type for all rows, so Parquet fills fields that a row lacks with nulls: every
    parameter of every tool of the file, in each tool. These cannot be told from intended nulls, so both are removed,
    at any depth of the structs. Nulls inside lists stay.
    """
    next(content, None)  # raises if the file does not exist or is a Git LFS pointer
    parquet = import_optional("pyarrow.parquet", display_path(path), "Parquet files")
    number = 0
    try:
        with parquet.ParquetFile(path, buffer_size=CHUNK_BYTES) as file:
            if len(set(columns := file.schema_arrow.names)) < len(columns):
                raise DataError(f"{display_path(path)}: duplicate column names - give each column its own name")
            batches = file.iter_batches(BATCH_ROWS)
            rows = chain.from_iterable(batch.to_pylist(maps_as_pydicts="strict") for batch in batches)
            for number, row in enumerate(rows, 1):
                yield number, _decode_lists(_without_nulls(row))
    except (importlib.import_module("pyarrow").ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{display_path(path)}: not Parquet, or truncated, after row {number} ({reason})"
            " - copy or download it again"
        ) from None
    except (KeyError, OverflowError) as error:  # a key twice in a map, a date after the year 9999
        raise DataError(
            f"{display_path(path)}: a value that cannot be read, after row {number} ({error}) - remove its column"
        ) from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):  # a map's keys may be of any type
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
