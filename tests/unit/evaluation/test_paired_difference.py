"""Paired differences: estimate, interval, p-value and verdict agree, with weights and with groups."""

from __future__ import annotations

from random import Random

import pytest

from punie_build.evaluation.paired_difference import PairedDifference, paired_difference, with_verdict
from punie_build.evaluation.scoring import CaseScore


def scored(name: str, passes: int, score: float | None = None, **fields: object) -> CaseScore:
    scored_as = float(passes) if score is None else score
    return CaseScore(case=name, category="c", passes=passes, score=scored_as, **fields)  # type: ignore[arg-type]


def agrees(d: PairedDifference) -> bool:
    """Return whether the estimates are within their intervals, and intervals and verdict say what p says."""
    contained = d.low <= d.difference <= d.high and d.graded_low <= d.graded <= d.graded_high
    shown = (d.low > 0 or d.high < 0) == (d.adjusted < 0.05) == (d.verdict in ("improved", "regressed"))
    return contained and shown and (d.graded_low > 0 or d.graded_high < 0) == (d.graded_p < 0.05)


def test_a_heavy_case_outweighs_forty_light_ones_in_estimate_interval_and_p():
    base = [scored(str(i), 0, 0.2) for i in range(40)] + [scored("h", 1, 1.0, weight=200.0)]
    arm = [scored(str(i), 0, 0.4) for i in range(40)] + [scored("h", 0, 0.0, weight=200.0)]
    d = paired_difference("x", base, arm)
    assert d.graded == pytest.approx(-0.8)
    assert d.graded_p > 0.5, "one case decides"
    assert agrees(d)


def test_a_group_counts_once_in_the_graded_score_too():
    base = [scored(f"a{i}", 0, group="a") for i in range(50)] + [scored(str(i), 1) for i in range(20)]
    arm = [scored(f"a{i}", 1, group="a") for i in range(50)] + [scored(str(i), 1) for i in range(20)]
    d = paired_difference("x", base, arm)
    assert d.difference == d.graded == pytest.approx(1 / 21)
    assert agrees(d)


def test_estimate_interval_p_and_verdict_agree_in_random_comparisons():
    r = Random(4)
    for trial in range(250):
        epochs, grouped, weighted = r.choice((1, 3)), r.random() < 0.5, r.random() < 0.5
        base, arm = [], []
        for case in range(r.randint(1, 40)):
            fields = {
                "group": f"g{case % 7}" if grouped else "",
                "weight": r.choice((0.5, 1.0, 7.0)) if weighted else 1.0,
                "epochs": epochs,
            }
            for scores, rate in ((base, 0.4), (arm, r.choice((0.4, 0.9)))):
                passes = sum(r.random() < rate for _ in range(epochs))
                scores.append(scored(str(case), passes, round(passes / epochs, 6), **fields))
        d = paired_difference("x", base, arm)
        assert agrees(d), (trial, d)
        assert agrees(with_verdict(d, min(1.0, 3 * d.p))), (trial, d)


def wordings(r: Random, groups: int, size: int, gain: float) -> PairedDifference:
    """Return the difference of arms whose cases gain with the probability 0.1 + `gain`, and lose with 0.1."""
    base, arm = [], []
    for group in range(groups):
        for wording in range(size):
            flip = r.choices((1, -1, 0), weights=(gain + 0.1, 0.1, 0.8 - gain))[0]
            before = int(flip == -1 or (flip == 0 and r.random() < 0.5))
            base.append(scored(f"{group}-{wording}", before, group=str(group)))
            arm.append(scored(f"{group}-{wording}", before + flip, group=str(group)))
    return paired_difference("x", base, arm)


def test_twelve_groups_of_ten_show_a_gain_of_15_points_and_no_other():
    r = Random(3)
    equal = [wordings(r, 12, 10, 0.0) for _ in range(300)]
    better = [wordings(r, 12, 10, 0.15) for _ in range(150)]
    assert sum(d.verdict in ("improved", "regressed") for d in equal) / 300 <= 0.06
    assert sum(d.verdict == "improved" for d in better) / 150 >= 0.6
    assert sum(d.low <= 0.15 <= d.high for d in better) / 150 >= 0.91
    assert better[0].detectable < 0.35, "not that of twelve single cases"
