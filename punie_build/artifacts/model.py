"""Models in the graph: an adapter in its base, or a base alone."""

from __future__ import annotations

from punie_build.artifacts.task import Task, start, task
from punie_build.artifacts.training import tokens_of
from punie_build.export.spec import Model
from punie_build.recipes.recipe import ADAPTERS, Described, Recipe
from punie_build.storage import paths


def needs(recipe: Recipe, described: Described) -> list[Described]:
    """The adapter, the tokens on which the model is held against it, and its base where that is made."""
    made = _adapter(recipe, described)
    return [*made, *start(recipe, _base(described, made))[1]]


def _adapter(recipe: Recipe, described: Described) -> list[Described]:
    if described.spec.adapter is None:
        return []
    adapter = recipe.find(ADAPTERS, described.spec.adapter)
    return [adapter, tokens_of(adapter)]


def _base(described: Described, made: list[Described]) -> str:
    return str(made[0].spec.base if made else described.spec.base)


def model(recipe: Recipe, described: Described) -> Task:
    spec: Model = described.spec
    made = _adapter(recipe, described)
    what = f"{spec.adapter} fused into its base" if spec.adapter else str(spec.base)
    return task(
        described,
        f"{what}, in {spec.precision}",
        needs=tuple(need.label for need in made),
        inputs=tuple(paths.target(need.kind, need.name) for need in made),
        reads=("adapters.safetensors", "adapter_config.json", "test.safetensors", "valid.safetensors") if made else (),
        on=start(recipe, _base(described, made)),
    )
