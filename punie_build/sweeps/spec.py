"""Specs of grids: cells, the grid itself, and copies of its best adapters."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec
from punie_build.sweeps.axes import Table
from punie_build.training.spec import Tokenized


class Cell(Spec, frozen=True, kw_only=True):
    """One artifact of a grid. `setting`: its value on each axis that matters to it; `seed`: which replicate it is."""

    name: str
    setting: Table
    seed: int | None = None


class Grid(Spec, frozen=True, kw_only=True):
    """The cells of a grid, all of the kind `of`, and its axes: the fields they differ in."""

    of: str
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    description: str = ""


class Selection(Spec, frozen=True, kw_only=True):
    """A copy of an adapter whose setting has this `rank` in the ranking of a grid: the one of the first seed.

    `tokens` are the tokens that all cells are trained on.
    """

    grid: str
    rank: int = field(name="place")
    tokens: Tokenized
    gates: tuple[Gate, ...] = ()
    description: str = ""

    @property
    def base(self) -> str:
        return self.tokens.base

    @property
    def data(self) -> str:
        return self.tokens.data

    @property
    def chat_template_args(self) -> dict[str, Any]:
        return self.tokens.chat_template_args


class GridOptions(Spec, frozen=True, kw_only=True):
    """Fields of a table that concern its grid, not its cells.

    `best`: number of selections. `cells`: settings side by side. `failed`: settings whose training failed in a search.
    """

    best: Annotated[int, Meta(ge=1)] = 1
    cells: Annotated[tuple[Table, ...], Meta(min_length=1)] | None = None
    failed: tuple[Table, ...] = ()
