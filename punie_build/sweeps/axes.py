"""Axes: where a table of a recipe has a list of values in the place of one, and the tables of one value each that it stands for.

    {"learning_rate": [1e-4, 1e-3], "lora": {"rank": [8, 16]}}      four points: every value with every other

A field that holds a list anyway is an axis where its value is a list of such lists: `betas = [[0.9, 0.99], [0.9, 0.999]]`. A value
that is a table may have lists of its own: `optimizer = [{ type = "adam" }, { type = "adamw", weight_decay = [0.0, 0.1] }]` are three.
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
    """A value without lists of values. `setting`: field -> the value it has here; `places`: field -> where that stands, such as
    `lora.rank` -> `lora.rank[1]`."""

    value: Any
    setting: Table = {}
    places: dict[str, str] = {}


def found(value: Any, wanted: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every list of values in a value that is to be a `wanted`: (field, values)."""
    if _is_axis(value, wanted):
        yield path, value
        for item in value:
            yield from found(item, wanted, path)
    for key, item, inner in _fields(value, wanted):
        yield from found(item, inner, join(path, key))


def count(value: Any, wanted: Any) -> int:
    """How many points there are, without making them."""
    if _is_axis(value, wanted):
        return sum(count(item, wanted) for item in value)
    total = 1
    for _, item, inner in _fields(value, wanted):
        total *= count(item, inner)
    return total


def points(value: Any, wanted: Any, path: str = "", place: str = "") -> Iterator[Point]:
    """A point for each way through the lists, the last list turning fastest."""
    if _is_axis(value, wanted):
        for index, item in enumerate(value):
            for point in points(item, wanted, path, f"{place}[{index}]"):
                own = {path: _without(point.value, path, point.setting)}
                yield Point(point.value, own | point.setting, {path: f"{place}[{index}]"} | point.places)
        return
    fields = list(_fields(value, wanted))
    if not fields:
        yield Point(value)
        return
    for some in product(*(points(item, inner, join(path, key), join(place, key)) for key, item, inner in fields)):
        table = {key: point.value for (key, _, _), point in zip(fields, some, strict=True)}
        yield Point(
            table,
            {field: taken for point in some for field, taken in point.setting.items()},
            {field: where for point in some for field, where in point.places.items()},
        )


def leaves(table: Table, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a table by their fields: `{"lora": {"rank": 8}}` -> `lora.rank`, 8. What has a `type` is one value."""
    for key, value in table.items():
        if isinstance(value, dict) and "type" not in value:
            yield from leaves(value, join(path, key))
        else:
            yield join(path, key), value


def over(table: Table, other: Table) -> Table:
    """A table with what another says instead."""
    merged = dict(table)
    for key, value in other.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "type" not in value
        merged[key] = over(old, value) if both and isinstance(old, dict) else value
    return merged


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _without(value: Any, path: str, inner: Table) -> Any:
    """A table that is a value of an axis, without the fields that are axes themselves."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if join(path, key) not in inner}


def _is_axis(value: Any, wanted: Any) -> bool:
    if not isinstance(value, list) or wanted is None:
        return False
    listed = any(get_origin(member) in (tuple, list) or member in (tuple, list) for member in _members(wanted))
    return not listed or (bool(value) and all(isinstance(item, list) for item in value))


def _fields(value: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    """(key, value, type) of a table that is to be a struct; the type of an unknown key is None."""
    if not isinstance(value, dict) or wanted is None:
        return
    tables = [member for member in _members(wanted) if isinstance(member, type) and issubclass(member, Struct)]
    fitting = [each for each in tables if len(tables) == 1 or each.__struct_config__.tag == value.get("type")]
    if not fitting:
        return
    known = _types(fitting[0])
    for key, item in value.items():
        yield key, item, known.get(key)


@cache
def _types(struct: type[Struct]) -> Table:
    """The type of each field, by the name it has in a recipe."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in structs.fields(struct)}


def _members(wanted: Any) -> list[Any]:
    """The types a type is one of."""
    if get_origin(wanted) is Annotated:
        return _members(get_args(wanted)[0])
    if get_origin(wanted) in (Union, types.UnionType):
        return [member for each in get_args(wanted) for member in _members(each)]
    return [wanted]
