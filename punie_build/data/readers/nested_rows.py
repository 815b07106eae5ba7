"""Rows within one JSON object: under `data`, `rows` or another key, or each under its id."""

from __future__ import annotations

from typing import Any

import msgspec

MIN_ROWS_BY_ID = 2  # an object with one object in it may be a record
LIST_KEYS = ("data", "rows", "train", "examples", "instances", "items", "records", "samples", "conversations")
HELD_OUT_KEYS = {"valid", "validation", "val", "dev", "eval", "test"}
_TURN_KEYS = {"role", "from", "parts", "content", "type"}  # of messages and tools, which are parts of a record
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def rows_of_object(text: bytes) -> list[bytes] | list[str] | None:
    """Return the rows within an object, each as bytes, or None if the object is a record itself.

    If several keys hold rows, which belong to several splits, the only item is a text: why they cannot be read.
    """
    try:
        values = _decode(text)
        lists = {
            key: rows for key in (*LIST_KEYS, *HELD_OUT_KEYS) if (rows := _list_of_rows(values.get(key))) is not None
        }
        if len(lists) > 1:
            return [f"rows under several keys, {', '.join(lists)} - write the rows of each into a file of its own"]
        for key in lists.keys() - HELD_OUT_KEYS:
            return lists[key]
        records = {key: msgspec.json.decode(value) for key, value in values.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(records) < MIN_ROWS_BY_ID or not all(isinstance(record, dict) and record for record in records.values()):
        return None
    if len({frozenset(record) for record in records.values()}) > 1:  # rows have the same keys; parts of a record differ
        return None
    if any(_TURN_KEYS & record.keys() for record in records.values()):
        return None
    return [msgspec.json.encode(record | {"id": record.get("id", key)}) for key, record in records.items()]


def _list_of_rows(value: msgspec.Raw | None) -> list[bytes] | None:
    """Return the items of a list of records; None for a list of texts or of messages."""
    items: Any = msgspec.json.decode(value) if value is not None else None
    if not is_list_of_objects(items):
        return None
    if any(_TURN_KEYS & item.keys() for item in items):
        return None
    wrapped = all(isinstance(item.get("row"), dict) for item in items)  # as the Hub's viewer answers
    return [msgspec.json.encode(item["row"] if wrapped else item) for item in items]


def is_list_of_objects(value: Any) -> bool:
    """Whether a value is a list of objects, with at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
