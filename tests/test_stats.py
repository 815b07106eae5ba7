from __future__ import annotations

from itertools import product
from random import Random

import pytest

from punie_build.stats import detectable, mcnemar, paired, wilson


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(4, 5, 0.3755, 0.9638), (7, 7, 0.6457, 1.0), (0, 10, 0.0, 0.2775), (57, 57, 0.9369, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson_is_the_textbooks(passed, n, low, high):
    assert wilson(passed, n) == pytest.approx((low, high), abs=1e-4)


def test_mcnemar_counts_every_way_the_flips_could_fall():
    for gained, lost in [(0, 0), (1, 0), (5, 0), (6, 0), (7, 2), (3, 3), (10, 4)]:
        n = gained + lost
        ways = [sum(flips) for flips in product((0, 1), repeat=n)]
        uneven = sum(abs(2 * k - n) >= abs(gained - lost) for k in ways) / len(ways)
        assert mcnemar(gained, lost) == pytest.approx(uneven)


def test_the_paired_interval_holds_what_it_claims():
    """Nominal 95 %: in simulations with a known gain, the interval contains it about as often, also for few cases."""
    for n, gain, loss in [(12, 0.25, 0.10), (57, 0.25, 0.10), (100, 0.08, 0.03)]:
        r, held = Random(n), 0
        for _ in range(1500):
            low, high = paired(
                [r.choices((1.0, -1.0, 0.0), weights=(gain, loss, 1 - gain - loss))[0] for _ in range(n)]
            )
            held += low <= gain - loss <= high
        assert held / 1500 >= 0.93


def test_no_differences_and_few_cases_claim_little():
    low, high = paired([0.0] * 5)
    assert low == -high
    assert high > 0.3
    assert paired([1.0] * 3)[0] < 1


def test_what_a_suite_can_see_shrinks_with_its_size():
    assert detectable(5) == 1.0
    assert detectable(20) > detectable(60) > detectable(200) > 0.03
