"""Validation: every mistake of a table at once, each with its path. msgspec stops at the first one; people should
not."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from punie_build.errors import did_you_mean


def mistakes(value: Any, type_: Any, where: str, key: str | None = None) -> Iterator[str]:
    """Yield a line `path: what - what to do` for all that keeps `value` from being of this type.

    With `key`, items of arrays are named by that field of theirs instead of by number.
    """
    yield from converted(value, type_, where, key)[1]


def converted(value: Any, type_: Any, where: str, key: str | None = None) -> tuple[Any, list[str]]:
    """Return (the value as this type, []), or (None, all mistakes in it)."""
    try:
        return msgspec.convert(value, type_), []
    except msgspec.ValidationError as error:
        inside = list(_inside(value, _plain(type_), where, key))
        return None, inside or [f"{where.rstrip(': ')}: {_polish(str(error))}"]


def _inside(value: Any, plain: Any, where: str, key: str | None) -> Iterator[str]:
    if _is_struct(plain) and isinstance(value, dict):
        yield from _table(value, plain, where, key)
    elif get_origin(plain) in (Union, types.UnionType):
        members = [_plain(member) for member in get_args(plain)]
        structs = [member for member in members if _is_struct(member)]
        arrays = [member for member in members if get_origin(member) is tuple]
        if isinstance(value, dict) and structs:
            yield from _tagged(value, structs, where, key)
        elif isinstance(value, list) and arrays:
            yield from _inside(value, arrays[0], where, key)
    elif get_origin(plain) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get(key) if key and isinstance(item, dict) else None
            yield from mistakes(item, get_args(plain)[0], f"{where}[{name or index}]")


def _table(value: dict[str, Any], struct: Any, where: str, key: str | None) -> Iterator[str]:
    config = struct.__struct_config__
    fields = msgspec.structs.fields(struct)
    hints = get_type_hints(struct, include_extras=True)
    known = {field.encode_name: field for field in fields}
    for name in value:
        if name not in known and name != config.tag_field and config.forbid_unknown_fields:
            renamed = getattr(struct, "FOREIGN_NAMES", {}).get(name)
            yield f"{_join(where, name)}: unknown key{f' - {renamed}' if renamed else did_you_mean(name, known)}"
    for name, field in known.items():
        if name in value:
            yield from mistakes(value[name], hints[field.name], _join(where, name), key)
        elif field.required:
            yield f"{_join(where, name)}: missing - it has no default"


def _tagged(value: dict[str, Any], structs: list[Any], where: str, key: str | None) -> Iterator[str]:
    field = structs[0].__struct_config__.tag_field
    if field is None:
        yield from _table(value, structs[0], where, key)
        return
    kinds = {struct.__struct_config__.tag: struct for struct in structs}
    tag = value.get(field)
    if isinstance(tag, str) and tag in kinds:
        yield from _table(value, kinds[tag], where, key)
    else:
        noun = getattr(structs[0], "NOUN", "kind")
        yield f"{_join(where, field)}: " + (
            f"missing{did_you_mean('', kinds)}"
            if tag is None
            else f"unknown {noun} '{tag}'{did_you_mean(str(tag), kinds)}"
        )


def _plain(type_: Any) -> Any:
    return _plain(get_args(type_)[0]) if get_origin(type_) is Annotated else type_


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Struct)


def _join(where: str, name: str) -> str:
    return f"{where}{name}" if where.endswith(": ") else f"{where}.{name}"


def _polish(problem: str) -> str:
    """msgspec's sentence without its path: ours is already in front."""
    text, _, _ = problem.partition(" - at `")
    text = text.replace("`", "'")
    return text[:1].lower() + text[1:]
