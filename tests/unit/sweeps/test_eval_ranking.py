"""Ranking of evals by pass rate: select and confirm cases, significance."""

from __future__ import annotations

from random import Random

import pytest

from punie_build.evaluation.paired_difference import paired_difference
from punie_build.evaluation.scoring import CaseScore, pass_count
from punie_build.sweeps.eval_ranking import metrics, rank_evals, summary


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


def test_the_grid_counts_groups_as_a_comparison_does():
    """Six questions in 30 wordings, of which one differs: no setting is worse."""

    def answered(questions: int) -> list[CaseScore]:
        return [
            CaseScore(case=f"{q}-{w}", category="c", score=0.0, passes=int(q < questions), split="select", group=str(q))
            for q in range(6)
            for w in range(30)
        ]

    first, second = answered(4), answered(3)
    ranking = rank_evals("t", ["x"], [("a", {"x": 1}, first), ("b", {"x": 2}, second)])
    difference = paired_difference("b", first, second)
    assert [entry.worse for entry in ranking.settings] == [False, False]
    assert ranking.settings[1].p == difference.p > 0.3
    best = ranking.settings[0].select
    assert best.share == pytest.approx(4 / 6)
    assert (best.low, best.high) == pytest.approx(pass_count(first).interval, abs=1e-5)
    assert best.high - best.low > 0.4
    assert best.cases == 180


def test_a_setting_with_unscored_answers_makes_the_ranking_invalid():
    scores = scored("1" * 10, "c" * 10)
    lost = [CaseScore(case=case.case, category="c", score=0.0, passes=0, epochs=0, errors=1) for case in scores[:9]]
    ranking = rank_evals("t", [], [("a", {}, scores), ("b", {}, [*lost, scores[9]])])
    assert [entry.select.share for entry in ranking.settings] == [1.0, 0.1]
    assert ranking.unscored == {"b": 9}
    assert metrics(ranking)["valid"] == 0.0
    assert "cannot be scored: {'b': 9}" in summary(ranking)


def test_equal_settings_are_rarely_apart_from_the_best():
    """The best of 12 is chosen among them: it is one of 66 pairs, not one of 11."""
    r, apart = Random(2), 0
    for _ in range(25):
        base = [r.random() < 0.5 for _ in range(60)]
        flipped = [[passed if r.random() < 0.75 else not passed for passed in base] for _ in range(12)]
        texts = ["".join(str(int(passed)) for passed in passes) for passes in flipped]
        cells = [(f"c{k}", {"top_k": k}, scored(text, "s" * 60)) for k, text in enumerate(texts)]
        apart += any(entry.worse for entry in rank_evals("g", ["top_k"], cells).settings)
    assert apart <= 0.06 * 25
