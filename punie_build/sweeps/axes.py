"""Axes: fields of a table that have a list of values, and the tables of one value each that they expand to.

    {"learning_rate": [1e-4, 1e-3], "lora": {"rank": [8, 16]}}      expands to four points: the product of both lists

A field whose own type is a list is an axis if its value is a list of lists: `betas = [[0.9, 0.99], [0.9, 0.999]]`. A
value that is a table may have lists of its own; this field has three values:

    optimizer = [{ type = "adam" }, { type = "adamw", weight_decay = [0.0, 0.1] }]
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, structs

Table = dict[str, Any]


class Point(Struct, frozen=True):
    """A value without axes. `setting`: field -> its value; `locations`: field -> its location in the original table,
    such as `lora.rank` -> `lora.rank[1]`."""

    value: Any
    setting: Table = {}
    locations: dict[str, str] = {}


def find(value: Any, expected: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield (field, values) of every axis in a value whose type should be `expected`."""
    if _is_axis(value, expected):
        yield path, value
        for item in value:
            yield from find(item, expected, path)
    for key, item, inner in _fields(value, expected):
        yield from find(item, inner, join(path, key))


def count(value: Any, expected: Any) -> int:
    """Return the number of points without making them."""
    if _is_axis(value, expected):
        return sum(count(item, expected) for item in value)
    total = 1
    for _, item, inner in _fields(value, expected):
        total *= count(item, inner)
    return total


def expand(value: Any, expected: Any, path: str = "", location: str = "") -> Iterator[Point]:
    """Yield a point for each combination of values, the last axis varying fastest."""
    if _is_axis(value, expected):
        for index, item in enumerate(value):
            for point in expand(item, expected, path, f"{location}[{index}]"):
                own = {path: _without(point.value, path, point.setting)}
                yield Point(point.value, own | point.setting, {path: f"{location}[{index}]"} | point.locations)
        return
    fields = list(_fields(value, expected))
    if not fields:
        yield Point(value)
        return
    inner_points = (expand(item, inner, join(path, key), join(location, key)) for key, item, inner in fields)
    for points in product(*inner_points):
        table = {key: point.value for (key, _, _), point in zip(fields, points, strict=True)}
        yield Point(
            table,
            {field: item for point in points for field, item in point.setting.items()},
            {field: item for point in points for field, item in point.locations.items()},
        )


def flatten(table: Table, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a table by dotted field: `{"lora": {"rank": 8}}` -> `lora.rank`, 8. A table with a `type`
    is one value."""
    for key, value in table.items():
        if isinstance(value, dict) and "type" not in value:
            yield from flatten(value, join(path, key))
        else:
            yield join(path, key), value


def unflatten(values: Table) -> Table:
    """Return nested tables for dotted fields: `{"lora.rank": 8}` -> `{"lora": {"rank": 8}}`."""
    table: Table = {}
    for field, value in values.items():
        *outer, last = field.split(".")
        inner: Table = {last: value}
        for key in reversed(outer):
            inner = {key: inner}
        table = merge(table, inner)
    return table


def merge(table: Table, other: Table) -> Table:
    """Return a table with the values of another one laid over it, table by table. A table with a `type` is replaced."""
    merged = dict(table)
    for key, value in other.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "type" not in value
        merged[key] = merge(old, value) if both and isinstance(old, dict) else value
    return merged


def join(path: str, key: str) -> str:
    """Return the dotted field of a key in the table at `path`."""
    return f"{path}.{key}" if path else key


def _without(value: Any, path: str, inner: Table) -> Any:
    """Return a table that is a value of an axis, without the fields that are axes themselves."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if join(path, key) not in inner}


def _is_axis(value: Any, expected: Any) -> bool:
    if not isinstance(value, list) or expected is None:
        return False
    holds_list = any(get_origin(member) in (tuple, list) or member in (tuple, list) for member in _members(expected))
    return not holds_list or (bool(value) and all(isinstance(item, list) for item in value))


def _fields(value: Any, expected: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, value, type) of a table that should be a struct; the type of an unknown key is None."""
    if not isinstance(value, dict) or expected is None:
        return
    candidates = [member for member in _members(expected) if isinstance(member, type) and issubclass(member, Struct)]
    matching = [
        struct for struct in candidates if len(candidates) == 1 or struct.__struct_config__.tag == value.get("type")
    ]
    if not matching:
        return
    types_ = _types(matching[0])
    for key, item in value.items():
        yield key, item, types_.get(key)


@cache
def _types(struct: type[Struct]) -> Table:
    """Return the type of each field, by its name in recipes."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in structs.fields(struct)}


def _members(expected: Any) -> list[Any]:
    """Return the members of a union, or the type itself."""
    if get_origin(expected) is Annotated:
        return _members(get_args(expected)[0])
    if get_origin(expected) in (Union, types.UnionType):
        return [member for argument in get_args(expected) for member in _members(argument)]
    return [expected]
