"""Material: all that a page is made from, as values. Sections turn it into facts, templates show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, structs

from punie_build.engine.task import AnyTask
from punie_build.reports.lineage import Node
from punie_build.storage.locks import Lock


class Material(Struct, frozen=True, kw_only=True):
    """What every page knows of the artifact it shows: its task, its lock, and what it is made from and what of it, as nodes of
    a graph. The pages of a kind add what they show."""

    task: AnyTask
    lock: Lock
    around: tuple[Node, ...] = ()


class Section(Struct, frozen=True):
    """A part of the page: the template it is drawn with and what that shows. `title` empty: no heading."""

    template: str
    title: str
    facts: dict[str, Any]


class Asked(Struct, frozen=True):
    """A field of a recipe: what it says, and whether that is what it would be if nothing were said."""

    name: str
    value: str
    default: bool


def asked(spec: Any, prefix: str = "") -> Iterator[Asked]:
    """Every field of a spec, those of the specs in it by `outer.inner`."""
    for field in structs.fields(spec):
        value = getattr(spec, field.name)
        name = prefix + field.encode_name
        if field.name in ("description", "gates"):
            continue
        if isinstance(value, Struct) and not value.__struct_config__.tag:
            yield from asked(value, f"{name}.")
        elif isinstance(value, tuple) and any(isinstance(item, Struct) for item in value):
            yield from (Asked(f"{name}[{index}]", plain(item), False) for index, item in enumerate(value))
        else:
            default = field.default if field.default is not NODEFAULT else None
            if field.default_factory is not NODEFAULT:
                default = field.default_factory()
            yield Asked(name, plain(value), not field.required and value == default)


def plain(value: Any) -> str:
    """A value of a recipe as a recipe writes it."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        kind = value.get("type")
        rest = ", ".join(f"{key} = {plain(item)}" for key, item in value.items() if key != "type")
        return f"{kind}: {rest}" if kind and rest else str(kind or rest)
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {None: "–", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
