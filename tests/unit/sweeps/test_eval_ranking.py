"""Ranking of evals by pass rate: select and confirm cases, significance."""

from __future__ import annotations

import pytest

from punie_build.evaluation.scoring import CaseScore
from punie_build.sweeps.eval_ranking import rank_evals, summary


def scored(passes: str, splits: str) -> list[CaseScore]:
    """Return cases that pass (1) or not (0), each of the split `select` (s) or `confirm` (c)."""
    names = {"s": "select", "c": "confirm"}
    return [
        CaseScore(case=str(number), category="c", score=0.0, passes=int(passed), split=names[split])
        for number, (passed, split) in enumerate(zip(passes, splits, strict=True))
    ]


def test_settings_are_ranked_on_select_cases_and_the_best_confirmed_on_others():
    splits = "s" * 10 + "c" * 5
    ranking = rank_evals(
        "t",
        ["x"],
        [
            ("a", {"x": 1}, scored("1" * 5 + "0" * 5 + "1" * 5, splits)),
            ("b", {"x": 2}, scored("1" * 9 + "0" + "10000", splits)),
            ("c", {"x": 3}, scored("0" * 15, splits)),
        ],
    )
    assert [(entry.cell, entry.select.share) for entry in ranking.settings] == [("b", 0.9), ("a", 0.5), ("c", 0.0)]
    assert ranking.confirmed.share == pytest.approx(0.2), "not the 90 % of the select cases"
    assert [entry.worse for entry in ranking.settings] == [False, False, True]
    assert [(effect.value, effect.mean) for effect in ranking.effects["x"]] == [(1, 0.5), (2, 0.9), (3, 0.0)]
    assert "x 2, 90% of 10 cases; 1 other is not significantly worse; on 5 other cases 20%" in summary(ranking)


def test_without_select_cases_the_summary_says_that_it_is_biased():
    ranking = rank_evals("t", [], [("a", {}, scored("110", "ccc"))])
    assert (ranking.confirmed, ranking.settings[0].select.cases) == (None, 3)
    assert "so it is biased" in summary(ranking)
