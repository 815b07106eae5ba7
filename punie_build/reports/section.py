"""Page data, sections of a page, and how reports format values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, structs

from punie_build.engine.build_record import BuildRecord
from punie_build.engine.task import AnyTask
from punie_build.reports.lineage import Node
from punie_build.storage.locks import Lock


class ArtifactBuild(Struct, frozen=True, kw_only=True):
    """When and where an artifact was built: its record or, without one, `committed`, which tells of the commit that has
    its lock. `key` is that of the lock, "" without a lock; `href` is the link to its page."""

    label: str
    key: str = ""
    href: str = ""
    seconds: float = 0.0
    record: BuildRecord | None = None
    committed: str = ""

    @property
    def text(self) -> str:
        """One line for people; "" without a record and a commit."""
        text = self.record.describe() if self.record else self.committed
        return f"{text[:1].upper()}{text[1:]}"


class ArtifactPage(Struct, frozen=True, kw_only=True):
    """The data that every artifact's page has; subclasses add the data of a kind.

    `neighbors` are the nodes of all artifacts that it depends on or that depend on it; `builds` are those of all that
    it is built from, and its own, which is the last.
    """

    task: AnyTask
    lock: Lock
    neighbors: tuple[Node, ...] = ()
    builds: tuple[ArtifactBuild, ...] = ()


class Section(Struct, frozen=True):
    """A part of a page: the name of its template, its heading (may be empty), and the variables of the template."""

    template: str
    title: str
    context: dict[str, Any]


class RecipeField(Struct, frozen=True):
    """A field of a recipe with its value as text; `is_default` if the value equals the default."""

    name: str
    value: str
    is_default: bool


def recipe_fields(spec: Any, prefix: str = "", defaults: Any = None) -> Iterator[RecipeField]:
    """Yield every field of a spec; fields of nested specs are named `outer.inner`.

    The default of a nested field is that of the outer field, in `defaults`, which may differ from that of its class."""
    for field in structs.fields(spec):
        value = getattr(spec, field.name)
        default = field.default if field.default is not NODEFAULT else None
        if field.default_factory is not NODEFAULT:
            default = field.default_factory()
        default = getattr(defaults, field.name, default)
        name = prefix + field.encode_name
        if field.name in ("description", "gates"):
            continue
        if isinstance(value, Struct) and not value.__struct_config__.tag:
            yield from recipe_fields(value, f"{name}.", default if type(default) is type(value) else None)
        elif isinstance(value, tuple) and any(isinstance(item, Struct) for item in value):
            yield from (RecipeField(f"{name}[{index}]", format_value(item), False) for index, item in enumerate(value))
        else:
            yield RecipeField(name, format_value(value), value == default and not (field.required and defaults is None))


def format_value(value: Any) -> str:
    """Format a value of a recipe as text, in the notation of recipes."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        kind = value.get("type")
        pairs = [(key, item) for key, item in value.items() if key != "type" and item is not None]
        options = ", ".join(f"{key} = {format_value(item)}" for key, item in pairs)
        return f"{kind}: {options}" if kind and options else str(kind or options)
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {None: "–", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
