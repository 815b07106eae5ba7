"""Data in the graph: datasets, stages and mixes."""

from __future__ import annotations

from typing import Any

import msgspec

from punie_build.artifacts.task import ROWS, Task, label, start, task
from punie_build.recipes.recipe import DATA, SUITES, Described, Recipe
from punie_build.storage import paths


def needs(recipe: Recipe, described: Described) -> list[Described]:
    """The data it is made from."""
    return [recipe.find(kinds, name) for _, kinds, name in described.references() if kinds == DATA]


def data(recipe: Recipe, described: Described) -> Task:
    spec = described.spec
    names = [name for _, kinds, name in described.references() if kinds == DATA]
    suites = sorted({name for _, kinds, name in described.references() if kinds == SUITES})
    inputs = tuple(paths.target("dataset", name) for name in names)
    if described.kind == "dataset":
        kind = msgspec.to_builtins(spec.source)["type"]
        doc, inputs = (
            f"examples from {_from(spec.source, kind)}",
            spec.source.inputs(),
        )
    elif described.kind == "stage":
        maps, filters = ([each["type"] for each in msgspec.to_builtins(some)] for some in (spec.maps, spec.filters))
        parts = ([f"rewritten by {', '.join(maps)}"] if maps else []) + (
            [f"sifted by {', '.join(filters)}"] if filters else []
        )
        doc = f"{spec.from_} {', '.join(parts)}"
    else:
        doc = f"{' + '.join(names)}, split without leakage"
    reads = ROWS if names else ()
    split = getattr(spec, "split", None)
    splits = paths.splits(paths.target("dataset", described.name)) if split and split.lock else ""
    based = {name for _, kinds, name in described.references() if kinds == ("base",)}
    return task(
        described,
        doc,
        needs=tuple(label(recipe, name) for name in names),
        inputs=inputs + ((splits,) if splits else ()),
        reads=reads,
        remembers=splits,
        on=start(recipe, based.pop()) if based else None,
        config={"cases": {name: recipe.suite_digest(name) for name in suites}} if suites else {},
        uses=tuple(recipe.suites[name] for name in suites),
    )


def _from(source: Any, kind: str) -> str:
    place = next((getattr(source, key) for key in ("path", "repo", "url") if hasattr(source, key)), None)
    return str(place or " ".join(getattr(source, "argv", ())) or kind)
