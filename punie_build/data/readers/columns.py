"""Tables in one JSON object: a list of values for each column, or names of columns beside lists of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from punie_build.data.readers.nested_rows import HELD_OUT_KEYS, LIST_KEYS, is_list_of_objects
from punie_build.data.readers.record import Record

MESSAGE_KEYS = ("role", "from", "content", "type")  # items with one of these are parts of a single row
TEXT_COLUMNS = {"messages", "conversations", "prompt", "completion", "instruction", "output", "question", "text"}
_NAMES = ("columns", "fields", "header", "headers", "column_names")  # keys of the names of the columns
_CELLS = ("data", "rows", "values", "records")  # keys of the rows, each a list of cells


def rows_of_columns(text: bytes) -> Iterator[Record] | None:
    """Return the rows of a table in one object, each as a line; None if the object is no table.

    Its columns are lists of one length, or objects with the same keys (pandas' default), of which the order counts.
    Or it has the names of the columns beside the rows (pandas' `split`, Datasette).
    """
    try:
        table = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if named := _named_cells(table):
        return named
    columns = list(table.values())
    if columns and all(isinstance(column, dict) for column in columns):
        if any(column.keys() != columns[0].keys() for column in columns) or not _are_row_labels(table, columns[0]):
            return None
        columns = [list(column.values()) for column in columns]
    if not columns or not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return None
    if any(key in (*LIST_KEYS, *HELD_OUT_KEYS) and is_list_of_objects(table[key]) for key in table):
        return None  # rows under the name of a split, or beside the names of their columns
    first = [column[0] for column in columns if column]
    if not first or any(isinstance(item, dict) and any(key in item for key in MESSAGE_KEYS) for item in first):
        return None
    return (msgspec.json.encode(dict(zip(table, row, strict=True))) for row in zip(*columns, strict=True))


def _named_cells(table: dict[str, Any]) -> Iterator[Record] | None:
    """Return the rows of an object with a list of names and one of lists of cells; None for other objects.

    A row with more or fewer cells than names is replaced by the reason why it cannot be read.
    """
    names = next((table[key] for key in _NAMES if key in table), None)
    rows = next((table[key] for key in _CELLS if key in table), None)
    if not isinstance(names, list) or not names or not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    if not all(isinstance(row, list) for row in rows) or not any(len(row) == len(names) for row in rows):
        return None
    return (
        msgspec.json.encode(dict(zip(names, row, strict=True)))
        if len(row) == len(names)
        else f"{len(row)} cells in {len(names)} columns - write one cell for each column"
        for row in rows
    )


def _are_row_labels(table: dict[str, Any], column: dict[str, Any]) -> bool:
    """Whether the keys of a column are those of rows: numbers, or any under the names of columns with texts."""
    return bool(column) and (all(key.isdigit() for key in column) or bool(TEXT_COLUMNS & table.keys()))
