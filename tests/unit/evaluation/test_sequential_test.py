"""The test that may stop at any time: no more false verdicts than 5 %, and verdicts after few cases."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from benchmarks.sequential import STEP, decision, draws, simulate
from punie_build.evaluation.sequential_test import sequential_result


def test_equal_arms_are_seldom_declared_different_however_often_one_looks():
    assert simulate(gained=0.2, lost=0.2, cases=200, runs=4000).false_verdicts <= 0.05
    assert simulate(gained=0.02, lost=0.02, cases=200, runs=4000).false_verdicts <= 0.05


@pytest.mark.parametrize(("gained", "lost"), [(0.65 * 0.64, 0.35 * 0.36), (0.34, 0.05)])
def test_35_against_64_percent_on_200_cases_is_decided_after_a_quarter(gained, lost):
    random = Random(0)
    stops = [decision(draws(random, gained, lost, 200)) for _ in range(60)]
    assert median(stops) <= 50


def test_the_interval_covers_the_mean_and_agrees_with_p():
    random = Random(1)
    for difference in (-0.6, 0.0, 0.3):
        values = [max(-1.0, min(1.0, random.gauss(difference, 0.3))) for _ in range(120)]
        result = sequential_result(values, 0.05)
        assert result.low <= difference <= result.high
        assert (result.p < 0.05) == (not result.low <= 0 <= result.high)
        assert result.decided == (result.p < 0.05)


def test_equal_answers_become_equivalent_and_no_cases_decide_nothing():
    assert not sequential_result([], 0.05).decided
    assert not sequential_result([0.0] * 20, 0.05).decided
    result = sequential_result([0.0] * 200, 0.05)
    assert result.decided
    assert result.p == 1
    assert -0.05 <= result.low <= 0 <= result.high <= 0.05


def test_the_order_of_differences_does_not_matter():
    values = [1.0, -1.0, 0.0, 0.5, 1.0, 1.0]
    assert sequential_result(values, 0.05) == sequential_result(values[::-1], 0.05)
    assert STEP == 10
