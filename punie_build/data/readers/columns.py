"""Columnar JSON: one object with a list of values for each column, as pandas and others write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MESSAGE_KEYS = ("role", "from", "content", "type")  # items with one of these are parts of a single row


def rows_of_columns(text: bytes) -> Iterator[bytes] | None:
    """Return the rows of columnar JSON, each as a line; None if the value is not columnar.

    The columns are lists of one length, or objects with the same keys (pandas' default), of which the order counts.
    """
    try:
        table = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    columns = list(table.values())
    if columns and all(isinstance(column, dict) for column in columns):
        if any(column.keys() != columns[0].keys() for column in columns) or not _are_row_numbers(columns[0]):
            return None
        columns = [list(column.values()) for column in columns]
    if not columns or not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return None
    first = [column[0] for column in columns if column]
    if not first or any(isinstance(item, dict) and any(key in item for key in MESSAGE_KEYS) for item in first):
        return None
    return (msgspec.json.encode(dict(zip(table, row, strict=True))) for row in zip(*columns, strict=True))


def _are_row_numbers(column: dict[str, Any]) -> bool:
    return bool(column) and all(key.isdigit() for key in column)
