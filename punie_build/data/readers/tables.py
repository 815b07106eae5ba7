"""Rows of CSV, TSV and Parquet as dicts."""

from __future__ import annotations

import codecs
import csv
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
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

BATCH_ROWS = 256  # rows of a Parquet file that are in memory at once, at most
BATCH_BYTES = 64 * 2**20  # decoded bytes of a column in memory at once, at most
DICTIONARY_BYTES = 4 * 2**20  # of the values of a column, packed: writers stop at 1 or 2 MiB
MAX_DICTIONARY_BYTES = 32 * 2**20  # the same, unpacked
MAX_COLUMNS = 10_000  # the decoder keeps some kilobytes for each
SUSPICIOUS_RATIO = 100  # of unpacked to packed bytes; text has 3 to 10
OTHER_DELIMITERS = (";", "\t", "|")  # spreadsheets of many countries write `;` into .csv
SEPARATOR = re.compile(r'sep=(.)|"sep=(.)"', re.IGNORECASE)  # the first line that Excel reads and does not show
QUOTED = re.compile(r'"[^"]*"')
INDEX_COLUMNS = ("", "Unnamed: 0", "__index_level_0__")  # names of the row numbers that pandas writes
LIST_COLUMNS = ("messages", "tools")  # some tables hold these lists as JSON text


def read_table(path: Path, content: Iterator[bytes], delimiter: str) -> NumberedRecords:
    """Yield the rows of a CSV or TSV file with a header, each with the number of the line it begins on."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))  # 128 KiB is too little for a conversation
    lines = _text_lines(path, content)
    header, mark, skipped = _header(lines, delimiter)
    has_blanks = 0 < header.count(mark) == header.count(f"{mark} ")  # after each delimiter: `prompt, completion`
    reader = csv.reader(chain([header], lines), delimiter=mark, skipinitialspace=has_blanks, strict=True)
    where = f"{display_path(path)}:{skipped + 1}"
    try:
        columns = next(reader, [])
        index = 1 if columns[1:] and columns[0] in INDEX_COLUMNS else 0  # that pandas writes before the others
        if not _is_utf8(columns):
            raise DataError(f"{where}: not UTF-8 - save the file as UTF-8")
        if bad := _bad_columns(columns[index:]):
            raise DataError(f"{where}: {bad} - give each column of the header its own name")
        line = skipped + reader.line_num + 1
        for cells in reader:
            if cells:  # csv gives an empty line as no cells
                yield line, _record(columns, cells, index)
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        where = f"{display_path(path)}:{skipped + reader.line_num}"
        if "new-line character" in str(error):
            raise DataError(f"{where}: its lines end with carriage returns - save the file with line feeds") from None
        raise DataError(
            f"{where}: not {'TSV' if delimiter != ',' else 'CSV'}: {error}"
            " - quote the cells, and double the quotes in them"
        ) from None


def _text_lines(path: Path, content: Iterator[bytes]) -> Iterator[str]:
    """Yield the lines as text, with line ends; bytes that are not UTF-8 become surrogates."""
    for number, line in enumerate(chain.from_iterable(split_lines(content, keep_returns=True)), 1):
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{display_path(path)}:{number}: {TOO_LONG}")
        yield line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8", "surrogateescape") + "\n"


def _header(lines: Iterator[str], delimiter: str) -> tuple[str, str, int]:
    """Return the header, the delimiter, and the number of lines before the header: blank ones, and Excel's `sep=;`.

    The delimiter is the one that `sep=` names, or the usual one, or else another that the header has.
    """
    named = ""
    for number, line in enumerate(lines):
        if match := SEPARATOR.fullmatch(line.rstrip("\r\n")):
            named = match[1] or match[2]
        elif line.strip():
            names = QUOTED.sub("", line)
            return (
                line,
                named or next((mark for mark in (delimiter, *OTHER_DELIMITERS) if mark in names), delimiter),
                number,
            )
    return "", delimiter, 0


def _bad_columns(columns: list[str]) -> str:
    """Return which names of columns are empty or double."""
    empty = [str(number) for number, name in enumerate(columns, 1) if not name]
    double = [f"'{name}'" for name, count in Counter(columns).items() if name and count > 1]
    parts = ([f"column {', '.join(empty)} has no name"] if empty else []) + (
        [f"empty or duplicate column names: {', '.join(double)}"] if double else []
    )
    return "; ".join(parts)


def _record(columns: list[str], cells: list[str], index: int) -> Record:
    if len(cells) != len(columns):
        return f"{len(cells)} cells in {len(columns)} columns - quote the cells, and double the quotes in them"
    if not _is_utf8(cells):
        return "not UTF-8 - save the file as UTF-8"
    return _decode_lists(dict(list(zip(columns, cells, strict=True))[index:]))


def _is_utf8(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode_lists(record: dict[str, Any]) -> dict[str, Any]:
    """Decode the lists that a table holds as JSON text; other text is left to the dialects.

    An empty cell, or an empty list of tools, removes its key.
    """
    for column in LIST_COLUMNS:
        if isinstance(text := record.get(column), str):
            with suppress(msgspec.DecodeError, RecursionError):
                record[column] = msgspec.json.decode(text) if text.strip() else None
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
            if bad := _bad_columns(columns := file.schema_arrow.names):
                raise DataError(f"{display_path(path)}: {bad} - give each column its own name")
            columns = [name for name in columns if name not in INDEX_COLUMNS]
            if large := _large_column(file.metadata, path):
                raise DataError(f"{display_path(path)}: {large}")
            batches = file.iter_batches(_batch_rows(file.metadata), columns=columns)
            for number, row in enumerate(chain.from_iterable(map(_rows, batches)), 1):
                yield number, _decode_lists(_without_nulls(row)) if isinstance(row, dict) else row
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


def _large_column(metadata: Any, path: Path) -> str:
    """Return which column has values that are longer than a record may be: even one of them fills the memory."""
    if metadata.num_columns > MAX_COLUMNS:
        return f"{metadata.num_columns} columns - write the columns of the conversation only"
    for group in (metadata.row_group(index) for index in range(metadata.num_row_groups)):
        for column in (group.column(index) for index in range(group.num_columns)):
            size = column.total_uncompressed_size // max(group.num_rows, 1)
            if size > MAX_LINE_BYTES:
                return (
                    f"column '{column.path_in_schema}': values of {size // 2**20} MiB - remove the column, or cut them"
                )
            if column.has_dictionary_page and column.total_uncompressed_size > MAX_DICTIONARY_BYTES:
                size = _dictionary_bytes(path, column.dictionary_page_offset)
                if size > MAX_DICTIONARY_BYTES:
                    return (
                        f"column '{column.path_in_schema}': a dictionary of {size // 2**20} MiB - write the column "
                        "without a dictionary, or cut its values"
                    )
    return ""


def _dictionary_bytes(path: Path, offset: int) -> int:
    """Return the unpacked size of a dictionary page: the second field of its header, in Thrift's compact protocol."""
    with path.open("rb") as file:
        file.seek(offset)
        numbers = re.match(rb"\x15[\x80-\xff]*[\x00-\x7f]\x15([\x80-\xff]*[\x00-\x7f])", file.read(16))
    zigzag = sum((byte & 127) << 7 * index for index, byte in enumerate(numbers[1])) if numbers else 0
    return zigzag >> 1


def _batch_rows(metadata: Any) -> int:
    """Return the number of rows to decode at once: few if a value may be large, which a small file can hide.

    A value that is repeated is stored once, in a dictionary page, so that the bytes of a column do not bound those of
    its rows.
    """
    largest = 1
    for group in (metadata.row_group(index) for index in range(metadata.num_row_groups)):
        for column in (group.column(index) for index in range(group.num_columns)):
            size, packed = column.total_uncompressed_size, max(column.total_compressed_size, 1)
            pages = column.data_page_offset - column.dictionary_page_offset if column.has_dictionary_page else 0
            is_dense = size > SUSPICIOUS_RATIO * packed or pages > DICTIONARY_BYTES
            largest = max(largest, size if is_dense else size // max(group.num_rows, 1))
    return max(1, min(BATCH_ROWS, BATCH_BYTES // largest))


def _rows(batch: Any) -> list[Any]:
    """Return the rows of a batch, each a dict, or the reason why a row is too large."""
    if batch.nbytes <= MAX_LINE_BYTES:
        rows: list[Any] = batch.to_pylist(maps_as_pydicts="strict")
        return rows
    slices = (batch.slice(index, 1) for index in range(batch.num_rows))
    return [TOO_LONG if row.nbytes > MAX_LINE_BYTES else row.to_pylist(maps_as_pydicts="strict")[0] for row in slices]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):  # a map's keys may be of any type
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
