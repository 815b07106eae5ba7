"""Kinds of sweeps: the ranking of all cells of a grid, copies of the best, and searches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from punie_build.artifacts.training import ADAPTER
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.sweeps import search_spec
from punie_build.sweeps.search_spec import Search
from punie_build.sweeps.spec import Grid, Selection


def _cells(recipe: Recipe, spec: Grid) -> tuple[Entry[Grid], ...]:
    return tuple(recipe.entries[spec.of, cell.name] for cell in spec.cells)


def _grid_inputs(recipe: Recipe, entry: Entry[Grid]) -> TaskInputs:
    cells, rules = _cells(recipe, entry.spec), recipe.kinds[entry.spec.of].grid
    assert rules is not None, "the cells of a grid are of a kind that has grids"
    axes = ", ".join(axis.rpartition(".")[2] for axis in entry.spec.axes)
    return TaskInputs(
        doc=f"{len(cells)} cells by {axes}" if axes else f"{len(cells)} cells",
        needs=cells,
        inputs=tuple(cell.target for cell in cells),
        reads=rules.ranked_by,
    )


def _selection_inputs(recipe: Recipe, entry: Entry[Selection]) -> TaskInputs:
    spec = entry.spec
    grid = recipe.entries[GRID.name, spec.grid]
    needs = (grid, *_cells(recipe, grid.spec))
    rank = "the lowest" if spec.rank == 1 else f"rank {spec.rank} by"
    return TaskInputs(
        doc=f"the adapter of {spec.grid} with {rank} validation loss",
        needs=needs,
        inputs=tuple(need.target for need in needs),
        reads=("ranking.json", "adapters.safetensors", "adapter_config.json", "metrics.jsonl"),
    )


def _search_mistakes(_root: Path, recipe: Recipe, entry: Entry[Search]) -> Iterator[str]:
    """Yield the mistakes in the axes of a search."""
    adapter = recipe.find(ADAPTER.name, entry.spec.adapter)
    if adapter is None:
        yield f"{entry.where}.adapter: {entry.spec.adapter} is a grid - name an adapter of one value each"
    elif adapter.kind is not ADAPTER:
        yield f"{entry.where}.adapter: {entry.spec.adapter} was not trained here - name an adapter without `path`"
    else:
        yield from search_spec.problems(entry.spec, ADAPTER, adapter.spec, entry.where)


GRID = ArtifactKind(
    name="grid",
    plural="Grids",
    namespace="grid",
    folder="reports",
    suffix="@grid",  # a grid, an eval and a comparison may have one name
    inputs=_grid_inputs,
    step="punie_build.sweeps.steps:grid",
    page="punie_build.reports.pages.grid:GRID_PAGE",
    summary=(("settings", "{:.0f} settings"), ("valid_loss", "best {:.3f}")),
)
SELECTION = ArtifactKind(
    name="choice",
    plural="Selections",
    roles=("trained", "arm"),
    namespace="arm",
    folder="adapters",
    inputs=_selection_inputs,
    step="punie_build.sweeps.steps:choice",
    verify="punie_build.sweeps.verify:choice",
    page="punie_build.reports.pages.adapter:SELECTION_PAGE",
    summary=(("valid_loss", "validation loss {:.3f}"),),
)
SEARCH = ArtifactKind(
    name="search",
    plural="Searches",
    spec=Search,
    references={"adapter": ADAPTER.name},
    namespace="search",
    cross_check=_search_mistakes,
)
