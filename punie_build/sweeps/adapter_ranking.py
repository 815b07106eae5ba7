"""Ranking of a grid's settings by validation loss, with a test of each against the best. Pure functions.

The loss of a setting is the mean over its seeds. The noise of a loss is estimated from the differences between seeds of
the same setting, pooled over all settings; where all settings have the same seeds, the mean effect of a seed on all of
them is removed first. With one seed per setting there is no estimate of the noise, and no setting can be distinguished
from the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from msgspec import Struct, field

from punie_build.evaluation import statistics
from punie_build.runtime.console import message
from punie_build.schema.spec import canonical
from punie_build.sweeps.axes import Table

ALPHA = 0.05  # significance level


class CellResult(Struct, frozen=True, kw_only=True):
    """The result of one cell. Losses in nats per token; `accuracy`: share of tokens; `best_at`: of `iterations`
    batches."""

    cell: str
    seed: int | None
    valid_loss: float
    valid_loss_start: float
    valid_loss_last: float
    accuracy: float
    best_at: int
    iterations: int


class RankedSetting(Struct, frozen=True, kw_only=True):
    """A setting in the ranking: the mean loss over its seeds, the lowest and the highest one.

    `p`: two-sided p value of its difference to the best (Student's t, corrected for its choice), None with one seed per
    setting. `worse`: significantly worse than the best.
    """

    rank: int = field(name="place")
    setting: Table
    mean: float
    low: float
    high: float
    p: float | None
    worse: bool = field(name="apart")
    runs: tuple[CellResult, ...]


class Effect(Struct, frozen=True, kw_only=True):
    """The mean, lowest and highest metric over all settings that have one `value` on an axis."""

    value: Any
    mean: float
    low: float
    high: float
    settings: int


class AdapterRanking(Struct, frozen=True, kw_only=True):
    """The content of `ranking.json` of a grid of adapters.

    `axes`: field -> its values, as in the recipe. `settings`: the best first. `effects`: field -> the effect of each of
    its values, averaged over the other axes. `noise`: standard deviation of a setting's loss between seeds, None if
    unknown.
    """

    grid: str
    metric: str = "valid_loss"
    axes: dict[str, tuple[Any, ...]]
    seeds: int
    noise: float | None = field(name="chance")
    settings: tuple[RankedSetting, ...] = field(name="places")
    effects: dict[str, tuple[Effect, ...]]


class SelectionRecord(Struct, frozen=True, kw_only=True):
    """The content of `choice.json`: the cell whose adapter was copied, with its rank, setting and seed."""

    grid: str
    rank: int = field(name="place")
    cell: str
    setting: Table
    seed: int | None


def rank_adapters(grid: str, axes: Sequence[str], runs: Sequence[tuple[Table, CellResult]]) -> AdapterRanking:
    """Rank the settings by mean loss; equal ones stay in the recipe's order. `runs`: (setting, run), in the recipe's
    order."""
    groups: dict[bytes, tuple[Table, list[CellResult]]] = {}
    for setting, run in runs:
        groups.setdefault(canonical(setting), (setting, []))[1].append(run)
    losses = {key: [run.valid_loss for run in group] for key, (_, group) in groups.items()}
    order = sorted(groups, key=lambda key: fmean(losses[key]))
    seeds = {tuple(run.seed for run in group) for _, group in groups.values()}
    noise, freedom = _noise([*losses.values()], same_seeds=len(seeds) == 1)
    p_values = [_p_value(losses[order[0]], losses[key], noise, freedom) for key in order[1:]]
    corrected: list[float | None] = [
        1.0 if freedom else None,
        *(statistics.against_best(p_values) if freedom else [None] * len(p_values)),
    ]
    ranked = [
        RankedSetting(
            rank=rank,
            setting=groups[key][0],
            mean=fmean(losses[key]),
            low=min(losses[key]),
            high=max(losses[key]),
            p=p,
            worse=p is not None and p < ALPHA,
            runs=tuple(groups[key][1]),
        )
        for rank, (key, p) in enumerate(zip(order, corrected, strict=True), 1)
    ]
    values = {axis: distinct_values(axis, (setting for setting, _ in groups.values())) for axis in axes}
    return AdapterRanking(
        grid=grid,
        axes=values,
        seeds=max(map(len, losses.values())),
        noise=noise if freedom else None,
        settings=tuple(ranked),
        effects=marginal_effects(values, [(entry.setting, entry.mean) for entry in ranked]),
    )


def _noise(losses: Sequence[Sequence[float]], same_seeds: bool) -> tuple[float, int]:
    """Return (standard deviation, degrees of freedom) of the residuals: losses minus the effect of the setting and,
    with `same_seeds`, minus the effect of the seed."""
    blocks = same_seeds and len(losses) > 1
    grand_mean = fmean(loss for group in losses for loss in group)
    seed_effects = (
        [fmean(column) - grand_mean for column in zip(*losses, strict=True)]
        if blocks
        else [0.0] * max(map(len, losses))
    )
    freedom = (len(losses) - 1) * (len(losses[0]) - 1) if blocks else sum(len(group) - 1 for group in losses)
    squares = sum(
        (loss - fmean(group) - effect) ** 2
        for group in losses
        for loss, effect in zip(group, seed_effects, strict=False)
    )
    return (sqrt(squares / freedom) if freedom else 0.0), freedom


def _p_value(best: Sequence[float], other: Sequence[float], noise: float, freedom: int) -> float:
    """Return the two-sided p value of the difference of two means."""
    gap = fmean(other) - fmean(best)
    if not gap or not freedom:
        return 1.0
    return statistics.student_t_p(gap / (noise * sqrt(1 / len(best) + 1 / len(other))), freedom) if noise else 0.0


def noise_limit(ranking: AdapterRanking) -> float | None:
    """Return the difference of a setting's mean loss from the best one below which it is noise at the level `ALPHA`,
    corrected as the p values are; None with one seed per setting."""
    others = len(ranking.settings) - 1
    if ranking.noise is None or not others:
        return None
    losses = [[run.valid_loss for run in entry.runs] for entry in ranking.settings]
    seeds = {tuple(run.seed for run in entry.runs) for entry in ranking.settings}
    noise, freedom = _noise(losses, same_seeds=len(seeds) == 1)
    pairs = others * (others + 1) / 2
    fewest = min(map(len, losses))
    return statistics.t_quantile(freedom, ALPHA / pairs) * noise * sqrt(2 / fewest)


def distinct_values(axis: str, settings: Iterable[Table]) -> tuple[Any, ...]:
    """Return the distinct values that settings have on an axis, in their order."""
    return tuple({canonical(setting[axis]): setting[axis] for setting in settings if axis in setting}.values())


def marginal_effects(
    axes: Mapping[str, Sequence[Any]], metrics: Sequence[tuple[Table, float]]
) -> dict[str, tuple[Effect, ...]]:
    """Return axis -> the effect of each of its values. `metrics`: (setting, metric of the setting)."""
    return {axis: tuple(_effect(axis, value, metrics) for value in values) for axis, values in axes.items()}


def _effect(axis: str, value: Any, metrics: Sequence[tuple[Table, float]]) -> Effect:
    group = [x for setting, x in metrics if axis in setting and canonical(setting[axis]) == canonical(value)]
    return Effect(value=value, mean=fmean(group), low=min(group), high=max(group), settings=len(group))


@message
def summary(ranking: AdapterRanking) -> str:
    """Return a sentence about the best setting and the others that are not significantly worse."""
    best = ranking.settings[0]
    setting = ", ".join(f"{axis} {value}" for axis, value in best.setting.items()) or "the only setting"
    seeds = f" over {len(best.runs)} seeds ({best.low:.3f} to {best.high:.3f})" if len(best.runs) > 1 else ""
    text = f"best of {len(ranking.settings)} settings: {setting}, validation loss {best.mean:.3f}{seeds}"
    if len(ranking.settings) == 1:
        return text
    if best.p is None:
        return f"{text}; one seed per setting gives no estimate of chance - give `seed` a list"
    similar = sum(not entry.worse for entry in ranking.settings) - 1
    return f"{text}; {not_worse(similar)}"


@message
def not_worse(count: int) -> str:
    """Return how many settings are not significantly worse than the best."""
    return (
        f"{count} other{'s are' if count > 1 else ' is'} not significantly worse" if count else "all others are worse"
    )


def metrics(ranking: AdapterRanking) -> dict[str, float]:
    """Return the metrics for gates: the best setting's loss, its range over seeds, the numbers of settings and
    cells, and `level`: the number of settings that are not significantly worse than the best, itself included."""
    best = ranking.settings[0]
    return {
        "valid_loss": best.mean,
        "range": best.high - best.low,
        "settings": len(ranking.settings),
        "cells": sum(len(entry.runs) for entry in ranking.settings),
        "level": sum(not entry.worse for entry in ranking.settings),
    }
