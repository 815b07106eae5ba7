"""The kind of models that are not built here, and where a training or a model starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.models.spec import Base


def trainings(recipe: Recipe, adapter: Entry[Any]) -> Iterator[Entry[Any]]:
    """Yield an adapter and those that its training started from, the last one first."""
    names = set[str]()
    while adapter.name not in names:  # else a cycle, which is a mistake of the recipe
        names.add(adapter.name)
        yield adapter
        if (init := getattr(adapter.spec, "init", None)) is None:
            return
        adapter = recipe.resolve("trained", init)


def start(recipe: Recipe, name: str) -> tuple[Base, tuple[Entry[Any], ...]]:
    """Return the base of this name; for a model that is built here, its folder as a base and the entry that must be
    built first."""
    entry = recipe.resolve("any-base", name)
    if entry.kind.is_built:
        return Base(path=entry.target), (entry,)
    return entry.spec, ()


BASE = ArtifactKind(name="base", plural="Bases", spec=Base, roles=("any-base", "arm"), namespace="arm")
