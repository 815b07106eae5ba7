"""Grids in the graph: the overview of all cells, and copies of the best."""

from __future__ import annotations

from punie_build.artifacts.task import Task, task
from punie_build.recipes.recipe import Described, Recipe
from punie_build.storage import paths
from punie_build.sweeps.spec import Grid, Selection

READ = {"adapter": ("metrics.jsonl",), "eval": ("scores.json",)}  # kind of cells -> what they are ranked by


def cells(recipe: Recipe, described: Described) -> list[Described]:
    """All cells of a grid, in its order."""
    spec: Grid = described.spec
    return [recipe.artifacts[spec.of, cell.name] for cell in spec.cells]


def grid(recipe: Recipe, described: Described) -> Task:
    needs = cells(recipe, described)
    axes = ", ".join(axis.rpartition(".")[2] for axis in described.spec.axes)
    return task(
        described,
        f"{len(needs)} cells by {axes}" if axes else f"{len(needs)} cells",
        needs=tuple(cell.label for cell in needs),
        inputs=tuple(paths.target(cell.kind, cell.name) for cell in needs),
        reads=READ[described.spec.of],
    )


def choice_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The ranking, and all that could be chosen."""
    grid = recipe.artifacts["grid", described.spec.grid]
    return [grid, *cells(recipe, grid)]


def choice(recipe: Recipe, described: Described) -> Task:
    spec: Selection = described.spec
    needs = choice_needs(recipe, described)
    return task(
        described,
        f"the adapter of {spec.grid} with {'the lowest' if spec.rank == 1 else f'place {spec.rank} by'} validation loss",
        needs=tuple(each.label for each in needs),
        inputs=tuple(paths.target(each.kind, each.name) for each in needs),
        reads=("ranking.json", "adapters.safetensors", "adapter_config.json", "metrics.jsonl"),
    )
