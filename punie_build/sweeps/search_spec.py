"""Searches: ranges of an adapter's fields, in which `punie-build search` looks for the lowest validation loss.

    [search.rate]
    adapter = "v1"                                             # all that the ranges leave open
    space = { learning_rate = { low = 1e-5, high = 1e-2, log = true }, "lora.rank" = [4, 8, 16] }

Its trials are the cells of a grid of the same name, in a recipe file that the search writes: `recipes/rate.trials.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from punie_build.schema.spec import Spec
from punie_build.schema.validation import mistakes
from punie_build.sweeps import grid
from punie_build.sweeps.axes import Table, over
from punie_build.training.spec import Adapter


class Range(Spec, frozen=True, kw_only=True):
    """From `low` to `high`, both included; whole numbers if both are. `log`: by magnitude. `step`: only every so much."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(
                "a range whose `low` is not below its `high` - exchange them, or name the one value in the adapter"
            )
        if self.log and self.low <= 0:
            raise ValueError("a range by magnitude begins above 0")
        if self.log and self.step is not None:
            raise ValueError("`step` and `log` exclude each other - give one of them")
        if self.step is not None and self.step <= 0:
            raise ValueError("a `step` is above 0")


class Search(Spec, frozen=True, kw_only=True):
    """Fields of an adapter and what they may be: a range, or a list to choose from. `seed`: of what is tried first."""

    adapter: str
    space: Annotated[dict[str, Range | tuple[Any, ...]], Meta(min_length=1)]
    seed: int = 0
    description: str = ""


def problems(search: Search, adapter: Adapter, where: str) -> Iterator[str]:
    """Lines on the fields that cannot be searched, and on the ends of ranges that the adapter could not have."""
    table = msgspec.to_builtins(adapter)
    rules = grid.KINDS["adapter"]
    for field, within in search.space.items():
        place = f"{where}.space.{field}"
        if why := rules.fixed.get(field):
            yield f"{place}: cannot be searched: {why}"
        elif field in (rules.replicate, *grid.REMARKS):
            yield f"{place}: cannot be searched: it makes no adapter better - name another field"
        elif isinstance(within, tuple) and len(within) < 2:
            yield f"{place}: nothing to choose from - give it two values, or name the one in the adapter"
        else:
            ends = {".low": within.low, ".high": within.high} if isinstance(within, Range) else dict(enumerate(within))
            for end, value in ends.items():
                for problem in mistakes(over(table, entry({field: value})), Adapter, ""):
                    yield f"{place}{end if isinstance(end, str) else f'[{end}]'}: {problem.rpartition(': ')[2]}"


def entry(values: Table) -> Table:
    """Fields with dots as a table in tables: `{"lora.rank": 8}` -> `{"lora": {"rank": 8}}`."""
    table: Table = {}
    for field, value in values.items():
        *outer, last = field.split(".")
        inner: Table = {last: value}
        for key in reversed(outer):
            inner = {key: inner}
        table = over(table, inner)
    return table
