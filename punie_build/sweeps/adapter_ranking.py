"""Ranking: the settings of a grid by validation loss, and what may be said of it. Pure: numbers in, values out.

A setting is judged by the mean over its seeds. How much of a difference is chance is learnt from what seeds of one setting differ by,
over all settings; what a seed does to all of them alike is taken out where all have the same seeds. With one seed each, nothing is
known of chance, and no setting can be told from the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from msgspec import Struct

from punie_build.evaluation import statistics
from punie_build.runtime.console import message
from punie_build.schema.spec import canonical
from punie_build.sweeps.axes import Table

DOUBT = 0.05


class Run(Struct, frozen=True, kw_only=True):
    """What became of one cell. Losses in nats a token; `accuracy` a share of tokens; `best_at` of `iterations` batches."""

    cell: str
    seed: int | None
    valid_loss: float
    valid_loss_start: float
    valid_loss_last: float
    accuracy: float
    best_at: int
    iterations: int


class Place(Struct, frozen=True, kw_only=True):
    """A setting in the ranking: mean loss over its seeds, the lowest and the highest of them. `p`: how easily chance alone would
    make it as much worse than the best (Student's t, Holm's correction); None with one seed each.
    `apart`: worse than the best beyond that doubt."""

    place: int
    setting: Table
    mean: float
    low: float
    high: float
    p: float | None
    apart: bool
    runs: tuple[Run, ...]


class Effect(Struct, frozen=True, kw_only=True):
    """All settings that have one value: the mean of what is ranked, the lowest and the highest of them."""

    value: Any
    mean: float
    low: float
    high: float
    settings: int


class Ranking(Struct, frozen=True, kw_only=True):
    """`ranking.json`. `axes`: field -> its values, as in the recipe; `places`: the best first; `effects`: field -> what each of its
    values makes, whatever the others are; `chance`: standard deviation of what a seed does to a setting, None if not known."""

    grid: str
    metric: str = "valid_loss"
    axes: dict[str, tuple[Any, ...]]
    seeds: int
    chance: float | None
    places: tuple[Place, ...]
    effects: dict[str, tuple[Effect, ...]]


def ranking(grid: str, axes: Sequence[str], runs: Sequence[tuple[Table, Run]]) -> Ranking:
    """The settings by mean loss; of equal ones the first of the recipe. `runs` are (setting, run), in the recipe's order."""
    groups: dict[bytes, tuple[Table, list[Run]]] = {}
    for setting, run in runs:
        groups.setdefault(canonical(setting), (setting, []))[1].append(run)
    losses = {key: [run.valid_loss for run in some] for key, (_, some) in groups.items()}
    order = sorted(groups, key=lambda key: fmean(losses[key]))
    seeds = {tuple(run.seed for run in some) for _, some in groups.values()}
    chance, free = _chance([*losses.values()], alike=len(seeds) == 1)
    doubts = [_doubt(losses[order[0]], losses[key], chance, free) for key in order[1:]]
    corrected: list[float | None] = [
        1.0 if free else None,
        *(statistics.holm(doubts) if free else [None] * len(doubts)),
    ]
    places = [
        Place(
            place=number,
            setting=groups[key][0],
            mean=fmean(losses[key]),
            low=min(losses[key]),
            high=max(losses[key]),
            p=p,
            apart=p is not None and p < DOUBT,
            runs=tuple(groups[key][1]),
        )
        for number, (key, p) in enumerate(zip(order, corrected, strict=True), 1)
    ]
    varied = {axis: values(axis, (setting for setting, _ in groups.values())) for axis in axes}
    return Ranking(
        grid=grid,
        axes=varied,
        seeds=max(map(len, losses.values())),
        chance=chance if free else None,
        places=tuple(places),
        effects=effects(varied, [(place.setting, place.mean) for place in places]),
    )


def _chance(losses: Sequence[Sequence[float]], alike: bool) -> tuple[float, int]:
    """(standard deviation, degrees of freedom) of what is neither the setting's nor, with `alike` seeds, the seed's."""
    blocks = alike and len(losses) > 1
    whole = fmean(x for some in losses for x in some)
    columns = (
        [fmean(column) - whole for column in zip(*losses, strict=True)] if blocks else [0.0] * max(map(len, losses))
    )
    free = (len(losses) - 1) * (len(losses[0]) - 1) if blocks else sum(len(some) - 1 for some in losses)
    squares = sum((x - fmean(some) - seed) ** 2 for some in losses for x, seed in zip(some, columns, strict=False))
    return (sqrt(squares / free) if free else 0.0), free


def _doubt(best: Sequence[float], other: Sequence[float], chance: float, free: int) -> float:
    """Two-sided p of the difference of two means."""
    gap = fmean(other) - fmean(best)
    if not gap or not free:
        return 1.0
    return statistics.student(gap / (chance * sqrt(1 / len(best) + 1 / len(other))), free) if chance else 0.0


def values(axis: str, settings: Iterable[Table]) -> tuple[Any, ...]:
    """The distinct values that settings have on an axis, in their order."""
    return tuple({canonical(setting[axis]): setting[axis] for setting in settings if axis in setting}.values())


def effects(axes: Mapping[str, Sequence[Any]], found: Sequence[tuple[Table, float]]) -> dict[str, tuple[Effect, ...]]:
    """What each value of each axis makes of the settings that have it. `found` are (setting, what is ranked)."""
    return {axis: tuple(_effect(axis, value, found) for value in varied) for axis, varied in axes.items()}


def _effect(axis: str, value: Any, found: Sequence[tuple[Table, float]]) -> Effect:
    some = [x for setting, x in found if axis in setting and canonical(setting[axis]) == canonical(value)]
    return Effect(value=value, mean=fmean(some), low=min(some), high=max(some), settings=len(some))


@message
def sentence(found: Ranking) -> str:
    """Which setting is the best, and how sure that is."""
    best = found.places[0]
    taken = ", ".join(f"{axis} {value}" for axis, value in best.setting.items()) or "the one setting"
    over = f" over {len(best.runs)} seeds ({best.low:.3f} to {best.high:.3f})" if len(best.runs) > 1 else ""
    said = f"best of {len(found.places)} settings: {taken}, validation loss {best.mean:.3f}{over}"
    if len(found.places) == 1:
        return said
    if best.p is None:
        return f"{said}; with one seed each nothing says how much of that is chance - give `seed` a list"
    others = sum(not place.apart for place in found.places) - 1
    return f"{said}; " + (f"{others} others cannot be told from it" if others else "all others are worse")


def metrics(found: Ranking) -> dict[str, float]:
    """What gates may ask: the best setting's loss, the range over its seeds, how many settings and cells there are, and how many
    settings cannot be told from the best, itself among them."""
    best = found.places[0]
    return {
        "valid_loss": best.mean,
        "range": best.high - best.low,
        "settings": len(found.places),
        "cells": sum(len(place.runs) for place in found.places),
        "level": sum(not place.apart for place in found.places),
    }
