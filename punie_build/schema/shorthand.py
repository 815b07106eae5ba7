"""Shorthand: a tag alone for a Struct that a tag selects.

`optimizer = "adamw"` stands for `optimizer = { type = "adamw" }`.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Struct, structs


def expand(table: dict[str, Any], spec: type[Struct]) -> dict[str, Any]:
    """Return a table with every tag that stands alone, in a field or in a list, replaced by the table of the tag."""
    tag_fields = {field.encode_name: tag for field in structs.fields(spec) for tag in _tag_fields(field.type)}
    return {key: _expanded(value, tag_fields[key]) if key in tag_fields else value for key, value in table.items()}


def _expanded(value: Any, tag_field: str) -> Any:
    if isinstance(value, str):
        return {tag_field: value}
    return [_expanded(item, tag_field) for item in value] if isinstance(value, list) else value


def _tag_fields(type_: Any) -> Iterator[str]:
    """Yield the name of the tag, if values of a type, or items of its tuple, are Structs that a tag selects."""
    origin = get_origin(type_)
    if origin in (Annotated, tuple):
        yield from _tag_fields(get_args(type_)[0])
    elif origin in (Union, types.UnionType):
        tags = {tag for member in get_args(type_) for tag in _tag_fields(member)}
        yield from sorted(tags)[:1]
    elif isinstance(type_, type) and issubclass(type_, Struct) and type_.__struct_config__.tag_field:
        yield type_.__struct_config__.tag_field
