"""Specs of searches: ranges of an adapter's fields, in which `punie-build search` looks for the lowest validation loss.

    [search.rate]
    adapter = "v1"                                             # the values of all other fields
    space = { learning_rate = { low = 1e-5, high = 1e-2, log = true }, "lora.rank" = [4, 8, 16] }

Its trials are the cells of a grid of the same name, in a recipe file that the search writes:
`recipes/rate.trials.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from punie_build.engine.kind import ArtifactKind
from punie_build.schema.spec import Spec
from punie_build.schema.validation import mistakes
from punie_build.sweeps.axes import merge, unflatten
from punie_build.training.spec import Adapter


class Range(Spec, frozen=True, kw_only=True):
    """The values from `low` to `high`, both included; integers if both are. `log`: sample on a log scale. `step`:
    step size."""

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
            raise ValueError("a range with `log` starts above 0 - raise `low`")
        if self.log and self.step is not None:
            raise ValueError("`step` and `log` exclude each other - give one of them")
        if self.step is not None and self.step <= 0:
            raise ValueError("a `step` is above 0 - raise it, or remove it")


class Search(Spec, frozen=True, kw_only=True):
    """Fields of an adapter with their candidate values: a range, or a list. `seed`: of the sampler."""

    adapter: str
    space: Annotated[dict[str, Range | tuple[Any, ...]], Meta(min_length=1)]
    seed: int = 0
    description: str = ""


def problems(search: Search, kind: ArtifactKind, adapter: Adapter, where: str) -> Iterator[str]:
    """Yield a line for each field that cannot be searched, and for each end of a range that is no value of the
    adapter's field."""
    table = msgspec.to_builtins(adapter)
    rules = kind.grid
    assert rules is not None, "adapters have grids"
    for field, candidates in search.space.items():
        location = f"{where}.space.{field}"
        if reason := rules.fixed.get(field):
            yield f"{location}: cannot be searched: {reason}"
        elif field in (rules.replicate, *kind.not_in_key):
            yield f"{location}: cannot be searched: it does not improve an adapter - name another field"
        elif isinstance(candidates, tuple) and len(candidates) < 2:
            yield f"{location}: fewer than two values - give it two, or set the one value in the adapter"
        else:
            for end, value in _ends(candidates):
                for problem in mistakes(merge(table, unflatten({field: value})), Adapter, ""):
                    yield f"{location}{end}: {problem.rpartition(': ')[2]}"


def _ends(candidates: Range | tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return (location, value) of the ends of a range, or of the items of a list."""
    if isinstance(candidates, Range):
        return [(".low", candidates.low), (".high", candidates.high)]
    return [(f"[{index}]", value) for index, value in enumerate(candidates)]
