"""Ranking of the settings of an eval's grid by their pass rate. Pure functions.

Settings are ranked on the `select` cases of the suite, and the best one is reported on the `confirm` cases, which had
no part in the selection: on the cases that selected it, the best of many settings looks better than it is. A suite
without `select` cases is ranked on all cases, and the summary says that the result is biased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from punie_build.evaluation import statistics
from punie_build.evaluation.paired_difference import paired_difference
from punie_build.evaluation.scoring import CaseScore, pass_count, valid
from punie_build.runtime.console import message
from punie_build.sweeps.adapter_ranking import ALPHA, Effect, distinct_values, marginal_effects, not_worse
from punie_build.sweeps.axes import Table


class PassRate(Struct, frozen=True, kw_only=True):
    """The mean share of passes over `cases` cases, with its 95 % interval (Wilson). A group counts as one
    case."""

    share: float
    low: float
    high: float
    cases: int


class RankedEvalSetting(Struct, frozen=True, kw_only=True):
    """A setting in the ranking. `p`: p value of its difference to the best (as in a comparison, corrected for the
    choice of the best); `worse`: significantly worse than the best."""

    rank: int = field(name="place")
    cell: str
    setting: Table
    select: PassRate
    p: float
    worse: bool = field(name="apart")


class EvalRanking(Struct, frozen=True, kw_only=True):
    """The content of `ranking.json` of a grid of evals. `confirmed`: the best setting on the `confirm` cases, None
    without any. `unscored`: the settings with too many answers that are missing or cannot be scored, with their
    number; such answers count as not passed."""

    grid: str
    metric: str = "share"
    axes: dict[str, tuple[Any, ...]]
    settings: tuple[RankedEvalSetting, ...] = field(name="places")
    confirmed: PassRate | None
    effects: dict[str, tuple[Effect, ...]]
    unscored: dict[str, int] = {}


def rank_evals(grid: str, axes: Sequence[str], cells: Sequence[tuple[str, Table, Sequence[CaseScore]]]) -> EvalRanking:
    """Rank the settings by pass rate; equal ones stay in the recipe's order. `cells`: (name, setting, scored cases)."""
    has_select = any(case.split == "select" for case in cells[0][2])
    select = [[case for case in cases if case.split == "select" or not has_select] for *_, cases in cells]
    order = sorted(range(len(cells)), key=lambda index: -_pass_rate(select[index]).share)
    best = select[order[0]]
    p_values = statistics.against_best([paired_difference("", best, select[index]).p for index in order[1:]])
    ranked = [
        RankedEvalSetting(
            rank=rank,
            cell=cells[index][0],
            setting=cells[index][1],
            select=_pass_rate(select[index]),
            p=p,
            worse=p < ALPHA,
        )
        for rank, (index, p) in enumerate(zip(order, [1.0, *p_values], strict=True), 1)
    ]
    values = {axis: distinct_values(axis, (setting for _, setting, _ in cells)) for axis in axes}
    shares = [(entry.setting, entry.select.share) for entry in ranked]
    confirm = [case for case in cells[order[0]][2] if case.split == "confirm"]
    return EvalRanking(
        grid=grid,
        axes=values,
        settings=tuple(ranked),
        confirmed=_pass_rate(confirm) if has_select and confirm else None,
        effects=marginal_effects(values, shares),
        unscored={cell: sum(case.errors for case in cases) for cell, _, cases in cells if not valid(cases)},
    )


def _pass_rate(cases: Sequence[CaseScore]) -> PassRate:
    count = pass_count(cases)
    low, high = count.interval
    return PassRate(share=count.rate, low=low, high=high, cases=count.n)


@message
def summary(ranking: EvalRanking) -> str:
    """Return a sentence about the best setting, the others that are not significantly worse, and its result on
    `confirm` cases."""
    best = ranking.settings[0]
    setting = ", ".join(f"{axis} {value}" for axis, value in best.setting.items()) or "the only setting"
    text = f"best of {len(ranking.settings)} settings: {setting}, {best.select.share:.0%} of {best.select.cases} cases"
    if len(ranking.settings) > 1:
        similar = sum(not entry.worse for entry in ranking.settings) - 1
        text += f"; {not_worse(similar)}"
    if ranking.unscored:
        text += f"; invalid, answers are missing or cannot be scored: {ranking.unscored}"
    if ranking.confirmed is None:
        return f'{text}; selected and reported on the same cases, so it is biased - give some cases split = "select"'
    rate = ranking.confirmed
    return f"{text}; on {rate.cases} other cases {rate.share:.0%} (95 % interval {rate.low:.0%} to {rate.high:.0%})"


def metrics(ranking: EvalRanking) -> dict[str, float]:
    """Return the metrics for gates: the best setting's pass rate on `select` and `confirm` cases, the number of
    settings, and `level`: the number of settings that are not significantly worse than the best, itself included."""
    result = {"share": ranking.settings[0].select.share, "settings": len(ranking.settings)}
    result["valid"] = float(not ranking.unscored)
    result["level"] = sum(not entry.worse for entry in ranking.settings)
    if ranking.confirmed:
        result |= {"confirmed": ranking.confirmed.share, "confirmed_low": ranking.confirmed.low}
    return result
