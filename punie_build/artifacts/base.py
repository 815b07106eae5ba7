"""The kind of models that are not built here, and where a training or a model starts."""

from __future__ import annotations

from typing import Any

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.models.spec import Base


def start(recipe: Recipe, name: str) -> tuple[Base, tuple[Entry[Any], ...]]:
    """Return the base of this name; for a model that is built here, its folder as a base and the entry that must be
    built first."""
    entry = recipe.resolve("any-base", name)
    if entry.kind.is_built:
        return Base(path=entry.target), (entry,)
    return entry.spec, ()


BASE = ArtifactKind(name="base", plural="Bases", spec=Base, roles=("any-base", "arm"), namespace="arm")
