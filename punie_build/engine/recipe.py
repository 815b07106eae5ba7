"""Recipe: every entry of a project's recipe files, as frozen values that refer to one another by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from punie_build.engine.kind import ArtifactKind

SpecT = TypeVar("SpecT")


class EntryReference(Struct, frozen=True):
    """A name in a field of a recipe: where it is, the role it asks for, and the name."""

    field: str
    role: str
    name: str


class Entry(Struct, Generic[SpecT], frozen=True, dict=True):
    """One artifact as a recipe describes it, and the file it is in. `spec` is None while recipes are read, if the table
    has mistakes. `builtin` entries ship with punie-build and are built where something needs them."""

    kind: ArtifactKind
    name: str
    spec: SpecT
    file: str
    builtin: bool = False
    table: tuple[str, str] | None = None

    @property
    def origin(self) -> tuple[str, str]:
        """(kind, name) of the recipe table that describes it, or that needs it: a grid for its cells, an adapter for
        its tokens."""
        return self.table or (self.kind.name, self.name)

    @property
    def label(self) -> str:
        return f"{self.kind.name}:{self.name}"

    @property
    def where(self) -> str:
        """The place that messages name."""
        return f"{self.file}: {self.kind.name}.{self.name}"

    @property
    def target(self) -> str:
        return self.kind.target(self.name)

    @cached_property
    def references(self) -> tuple[EntryReference, ...]:
        """The names of other entries in its fields."""
        return tuple(references(self.kind, msgspec.to_builtins(self.spec))) if self.kind.references else ()


class Recipe(Struct, frozen=True, dict=True):
    """All entries by (kind, name), and the content of files that entries name, by label."""

    kinds: dict[str, ArtifactKind]
    entries: dict[tuple[str, str], Entry[Any]]
    contents: dict[str, Any] = {}

    def find(self, role: str, name: str) -> Entry[Any] | None:
        """Return the entry of this name, or of its label, among the kinds that have a role (the name of a kind is one),
        or None."""
        prefix, _, name = name.rpartition(":")
        keys = ((kind.name, name) for kind in self.kinds_of(role) if prefix in ("", kind.name))
        return next((self.entries[key] for key in keys if key in self.entries), None)

    def kinds_of(self, role: str) -> list[ArtifactKind]:
        """Return the kinds that a reference with a role may name."""
        return self._kinds_by_role.get(role, [])

    @cached_property
    def _kinds_by_role(self) -> dict[str, list[ArtifactKind]]:
        kinds: dict[str, list[ArtifactKind]] = {}
        for kind in self.kinds.values():
            for role in dict.fromkeys((kind.name, *kind.roles)):
                kinds.setdefault(role, []).append(kind)
        return kinds

    def resolve(self, role: str, name: str) -> Entry[Any]:
        """Return the entry of this name; the recipes were checked, so there is one."""
        entry = self.find(role, name)
        assert entry is not None, f"no {role} is called {name}: the loader reports that"
        return entry

    def of_role(self, role: str) -> Iterator[Entry[Any]]:
        """Yield the entries whose kind has a role."""
        return (entry for entry in self.entries.values() if role in (entry.kind.name, *entry.kind.roles))

    def of_kind(self, kind: str) -> Iterator[Entry[Any]]:
        """Yield the entries of a kind."""
        return (entry for entry in self.entries.values() if entry.kind.name == kind)

    def builder_of(self, path: str) -> Entry[Any] | None:
        """Return the entry whose target a path is, or lies in, or None if no entry builds it."""
        parts = PurePosixPath(path).parts
        for kind in self.kinds.values():
            if kind.is_built and len(parts) > 1 and parts[0] == kind.folder and parts[1].endswith(kind.suffix):
                entry = self.entries.get((kind.name, parts[1].removesuffix(kind.suffix)))
                if entry is not None:
                    return entry
        return None

    def content(self, entry: Entry[Any]) -> Any:
        """Return the content of the file of an entry, such as the cases of a suite."""
        return self.contents[entry.label]


def references(kind: ArtifactKind, table: dict[str, Any]) -> Iterator[EntryReference]:
    """Yield the references in a table of a kind. The table may have mistakes elsewhere."""
    for field, role in kind.references.items():
        for path, value in _values(table, _steps(field)):
            many = isinstance(value, list | tuple)
            for index, item in enumerate(value if many else [value]):
                name = item.get("name") if isinstance(item, dict) else item
                if isinstance(name, str):
                    yield EntryReference(f"{path}[{index}]" if many else path, role, name)


@cache
def _steps(field: str) -> tuple[tuple[str, bool], ...]:
    """Return the (name, whether its value is a list) of each step in a field such as `filters[].base`."""
    return tuple((name.removesuffix("[]"), name.endswith("[]")) for name in field.split("."))


def _values(table: Any, steps: tuple[tuple[str, bool], ...]) -> list[tuple[str, Any]]:
    """Return (path, value) of a field such as `from`, `serving.draft` or `filters[].base` in a table that may have
    mistakes."""
    places = [("", table)]
    for name, many in steps:
        places = [
            (f"{path}.{name}" if path else name, part[name])
            for path, part in places
            if isinstance(part, dict) and name in part
        ]
        if many:
            places = [
                (f"{path}[{index}]", item)
                for path, value in places
                if isinstance(value, list | tuple)
                for index, item in enumerate(value)
            ]
    return places
