from __future__ import annotations

import time
from fractions import Fraction
from itertools import combinations, product
from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.evaluation import statistics
from punie_build.evaluation.statistics import (
    cluster_means,
    detectable_gain,
    holm,
    mcnemar_power,
    paired_interval,
    pass_hat_k,
    sign_flip_p,
    student_t_p,
    t_quantile,
    wilson_interval,
)


def mcnemar(gained: int, lost: int) -> float:
    """Return the p-value of McNemar's exact two-sided test, a special case of the sign-flip test."""
    n, tail = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    return min(1.0, float(2 * sum(comb(n, k) for k in range(tail + 1)) / 2**n))


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(4, 5, 0.3755, 0.9638), (7, 7, 0.6457, 1.0), (0, 10, 0.0, 0.2775), (57, 57, 0.9369, 1.0), (0, 0, 0.0, 1.0)],
)
def test_the_wilson_interval_has_textbook_values(passed, n, low, high):
    assert wilson_interval(passed, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.slow
def test_intervals_and_p_values_equal_those_of_scipy():
    from scipy import stats

    for passed, n in [(0, 1), (3, 7), (14, 104), (63, 104), (500, 500), (1, 1000)]:
        expected = stats.binomtest(passed, n).proportion_ci(0.95, method="wilson")
        assert wilson_interval(passed, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    for gained, lost in [(1, 0), (6, 0), (8, 1), (30, 11), (3, 3), (400, 360)]:
        assert mcnemar(gained, lost) == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=1e-9)
    r = Random(1)
    for n in (2, 5, 9, 13):
        differences = [r.choice([-1, -0.5, -0.25, 0, 0.125, 0.5, 0.75, 1]) for _ in range(n)]
        expected = stats.permutation_test((differences,), sum, permutation_type="samples", n_resamples=10**6).pvalue
        assert sign_flip_p(differences) == pytest.approx(expected, rel=1e-9)


def test_holm_has_the_values_of_statsmodels():
    """statsmodels.stats.multitest.multipletests([...], method="holm"), 0.15."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lowers_no_p_value_and_keeps_their_order(ps):
    adjusted = holm(ps)
    assert all(before <= after <= 1 for before, after in zip(ps, adjusted, strict=True))
    assert [a for _, a in sorted(zip(ps, adjusted, strict=True))] == sorted(adjusted)


def test_mcnemar_equals_the_enumeration_of_all_flips():
    for gained, lost in [(0, 0), (1, 0), (5, 0), (6, 0), (7, 2), (3, 3), (10, 4)]:
        n = gained + lost
        ways = [sum(flips) for flips in product((0, 1), repeat=n)]
        uneven = sum(abs(2 * k - n) >= abs(gained - lost) for k in ways) / len(ways)
        assert mcnemar(gained, lost) == pytest.approx(uneven)


@given(st.lists(st.integers(-1000, 1000), max_size=9))
def test_sign_flip_equals_the_enumeration_of_all_signs(thousandths):
    sums = [
        sum(d * sign for d, sign in zip(thousandths, signs, strict=True))
        for signs in product((1, -1), repeat=len(thousandths))
    ]
    uneven = sum(abs(total) >= abs(sum(thousandths)) for total in sums) / len(sums)
    assert sign_flip_p([d / 1000 for d in thousandths]) == pytest.approx(uneven)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=400))
def test_sign_flip_of_passes_and_fails_equals_mcnemar(differences):
    assert sign_flip_p(differences) == pytest.approx(mcnemar(differences.count(1.0), differences.count(-1.0)))


def test_the_paired_interval_has_its_nominal_coverage():
    """Nominal 95 %: in simulations with a known gain, the interval contains it about as often, also for few cases."""
    for n, gain, loss in [(12, 0.25, 0.10), (57, 0.25, 0.10), (100, 0.08, 0.03)]:
        r, covered = Random(n), 0
        for _ in range(1500):
            low, high = paired_interval(
                [r.choices((1.0, -1.0, 0.0), weights=(gain, loss, 1 - gain - loss))[0] for _ in range(n)]
            )
            covered += low <= gain - loss <= high
        assert covered / 1500 >= 0.93


def test_cluster_means_restore_the_coverage_of_correlated_cases():
    """30 groups of 4 wordings that nearly always flip together: cases taken by_case claim twice what they know."""
    r, by_case, by_group = Random(5), 0, 0
    names = [str(group) for group in range(30) for _ in range(4)]
    for _ in range(800):
        differences = []
        for _ in range(30):
            flip = r.choices((1.0, -1.0, 0.0), weights=(0.3, 0.1, 0.6))[0]
            differences += [flip if r.random() < 0.9 else 0.0 for _ in range(4)]
        truth = 0.2 * 0.9
        low, high = paired_interval(differences)
        by_case += low <= truth <= high
        low, high = paired_interval(cluster_means(differences, names))
        by_group += low <= truth <= high
    assert by_case / 800 < 0.8
    assert by_group / 800 >= 0.93


def test_few_cases_give_wide_intervals():
    low, high = paired_interval([0.0] * 5)
    assert low == -high
    assert high > 0.3
    assert paired_interval([1.0] * 3)[0] < 1


def test_the_detectable_gain_shrinks_with_the_number_of_cases():
    assert detectable_gain(5) == 1.0
    assert detectable_gain(20) > detectable_gain(60) > detectable_gain(200) > 0.03
    assert [round(100 * detectable_gain(n)) for n in (12, 27, 57, 100, 200)] == [58, 28, 14, 8, 4]
    assert [round(100 * detectable_gain(57, lost=share)) for share in (0.02, 0.05, 0.1)] == pytest.approx(
        [18, 21, 26], abs=1
    )
    assert detectable_gain(7, lost=0.05) == 1.0


def test_power_equals_the_detection_rate_of_a_simulation():
    r, detected = Random(2), 0
    for _ in range(2000):
        flips = r.choices((1, -1, 0), weights=(0.3, 0.1, 0.6), k=60)
        gained, lost = flips.count(1), flips.count(-1)
        detected += gained > lost and mcnemar(gained, lost) < 0.05
    assert mcnemar_power(60, 0.3, 0.1) == pytest.approx(detected / 2000, abs=0.03)


def test_pass_hat_k_requires_every_attempt_to_pass():
    assert pass_hat_k(3, 4, 1) == 0.75
    assert pass_hat_k(3, 4, 2) == 0.5
    assert pass_hat_k(3, 4, 4) == 0.0
    assert pass_hat_k(4, 4, 4) == 1.0
    with pytest.raises(ValueError, match="1 to 4"):
        pass_hat_k(1, 4, 5)


def test_a_group_counts_as_its_mean():
    assert cluster_means([1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "a"]) == [pytest.approx(2 / 3), 1.0]


@pytest.mark.parametrize(("epochs", "n"), [(3, 10), (6, 9), (7, 11)])
def test_sign_flips_of_thirds_and_sevenths_are_exact(epochs, n):
    """Rounded thirds break ties of sums, which makes p too small."""
    r = Random(epochs)
    for _ in range(5):
        counts = [r.randint(0, epochs) - r.randint(0, epochs) for _ in range(n)]
        sums = [sum(d * sign for d, sign in zip(counts, signs, strict=True)) for signs in product((1, -1), repeat=n)]
        expected = sum(abs(total) >= abs(sum(counts)) for total in sums) / len(sums)
        assert sign_flip_p([count / epochs for count in counts]) == pytest.approx(expected)
        assert sign_flip_p([round(count / epochs, 6) for count in counts]) == pytest.approx(expected), "of scores.json"
        assert sign_flip_p([Fraction(count, epochs) for count in counts]) == pytest.approx(expected)


def test_ten_thousand_cases_neither_overflow_nor_take_long():
    started = time.process_time()
    assert 0 < detectable_gain(10_000) <= detectable_gain(1030) < 0.02
    assert 0.01 < detectable_gain(10_000, lost=0.2) < 0.03
    assert sign_flip_p([1.0] * 5_150 + [-1.0] * 4_850) == pytest.approx(0.0027, abs=2e-4)
    assert sign_flip_p([1.0] * 10_000) == 0.0
    assert time.process_time() - started < 10


def test_random_signs_replace_the_exact_test_only_where_it_takes_too_long():
    r = Random(1)
    fine = [round(r.random() - r.random() + 0.02, 6) for _ in range(2000)]
    started = time.process_time()
    p = sign_flip_p(fine)
    assert time.process_time() - started < 2
    assert p == sign_flip_p(fine), "the seed is fixed"
    z = abs(sum(fine)) / sum(d * d for d in fine) ** 0.5
    assert p == pytest.approx(student_t_p(z, 10_000), abs=0.006)


def test_quantiles_of_t_are_those_of_tables():
    for degrees, expected in [(1, 12.706), (2, 4.303), (11, 2.201), (100, 1.984), (101, 1.984), (1000, 1.962)]:
        assert t_quantile(degrees) == pytest.approx(expected, abs=6e-4)


def test_pass_at_k_and_pass_hat_k_are_means_over_all_draws():
    for n, passes in ((5, 0), (5, 2), (6, 5), (4, 4)):
        answers = [True] * passes + [False] * (n - passes)
        for k in range(1, n + 1):
            draws = list(combinations(answers, k))
            assert statistics.pass_at_k(passes, n, k) == pytest.approx(sum(map(any, draws)) / len(draws))
            assert statistics.pass_hat_k(passes, n, k) == pytest.approx(sum(map(all, draws)) / len(draws))
