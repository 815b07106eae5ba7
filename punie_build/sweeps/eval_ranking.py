"""Tuning: the settings of an eval's grid, ranked by the cases that pass. Pure: scores in, values out.

They are ranked on the `select` cases of the suite and the winner is reported on the `confirm` cases, which had no say in the choice: the best of
many settings looks better than it is on the cases that chose it. A suite without `select` cases has none left to confirm with, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from punie_build.evaluation import statistics
from punie_build.evaluation.scoring import Scored
from punie_build.runtime.console import message
from punie_build.sweeps.adapter_ranking import DOUBT, Effect, effects, values
from punie_build.sweeps.axes import Table


class Tally(Struct, frozen=True, kw_only=True):
    """The mean share of passes over some cases, with its 95 % interval (Wilson)."""

    share: float
    low: float
    high: float
    cases: int


class Place(Struct, frozen=True, kw_only=True):
    """A setting in the ranking. `p`: how easily chance alone would make it as much worse than the best (sign flips case by case, Holm's
    correction); `apart`: worse beyond that doubt."""

    place: int
    cell: str
    setting: Table
    select: Tally
    p: float
    apart: bool


class Tuning(Struct, frozen=True, kw_only=True):
    """`ranking.json` of an eval's grid. `confirmed`: the winner on cases that had no say; None where there are none."""

    grid: str
    metric: str = "share"
    axes: dict[str, tuple[Any, ...]]
    places: tuple[Place, ...]
    confirmed: Tally | None
    effects: dict[str, tuple[Effect, ...]]


def tuning(grid: str, axes: Sequence[str], cells: Sequence[tuple[str, Table, Sequence[Scored]]]) -> Tuning:
    """The settings by share, the best first; of equal ones the first of the recipe. `cells` are (name, setting, cases)."""
    aside = any(case.split == "select" for case in cells[0][2])
    chosen = [[case for case in cases if case.split == "select" or not aside] for *_, cases in cells]
    order = sorted(range(len(cells)), key=lambda index: -_tally(chosen[index]).share)
    best = chosen[order[0]]
    doubts = statistics.holm([_doubt(best, chosen[index]) for index in order[1:]])
    places = [
        Place(
            place=number,
            cell=cells[index][0],
            setting=cells[index][1],
            select=_tally(chosen[index]),
            p=p,
            apart=p < DOUBT,
        )
        for number, (index, p) in enumerate(zip(order, [1.0, *doubts], strict=True), 1)
    ]
    varied = {axis: values(axis, (setting for _, setting, _ in cells)) for axis in axes}
    shares = [(place.setting, place.select.share) for place in places]
    kept = [case for case in cells[order[0]][2] if case.split == "confirm"]
    return Tuning(
        grid=grid,
        axes=varied,
        places=tuple(places),
        confirmed=_tally(kept) if aside and kept else None,
        effects=effects(varied, shares),
    )


def _tally(cases: Sequence[Scored]) -> Tally:
    passed = sum(case.share for case in cases)
    low, high = statistics.wilson(passed, len(cases))
    return Tally(share=passed / len(cases) if cases else 0.0, low=low, high=high, cases=len(cases))


def _doubt(best: Sequence[Scored], other: Sequence[Scored]) -> float:
    return statistics.sign_flip([a.share - b.share for a, b in zip(best, other, strict=True)])


@message
def sentence(found: Tuning) -> str:
    """Which setting is the best, and how it does on cases that had no say."""
    best = found.places[0]
    taken = ", ".join(f"{axis} {value}" for axis, value in best.setting.items()) or "the one setting"
    said = f"best of {len(found.places)} settings: {taken}, {best.select.share:.0%} of {best.select.cases} cases"
    if len(found.places) > 1:
        others = sum(not place.apart for place in found.places) - 1
        said += f"; {others} others cannot be told from it" if others else "; all others are worse"
    if found.confirmed is None:
        return f'{said}; chosen and seen on the same cases, so it looks too good - give some cases split = "select"'
    kept = found.confirmed
    return f"{said}; on {kept.cases} others {kept.share:.0%} (95 % interval {kept.low:.0%} to {kept.high:.0%})"


def metrics(found: Tuning) -> dict[str, float]:
    """What gates may ask: the winner's share where it was chosen and where it was confirmed, and how many settings are level with it."""
    told = {"share": found.places[0].select.share, "settings": len(found.places)}
    told["level"] = sum(not place.apart for place in found.places)
    if found.confirmed:
        told |= {"confirmed": found.confirmed.share, "confirmed_low": found.confirmed.low}
    return told
