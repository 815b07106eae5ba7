"""Simulate comparisons that stop when they are decided: false verdicts of equal arms, and cases until a verdict.

./run python benchmarks/sequential.py        100,000 comparisons of equal arms for each rate of flips: a minute
"""

from __future__ import annotations

import sys
from random import Random
from statistics import mean, median
from typing import NamedTuple

import numpy as np

from punie_build.evaluation.sequential_test import BETS, sequential_result

STEP = 10  # cases between two looks
MARGIN = 0.05


class Simulation(NamedTuple):
    """The shares of comparisons that were declared different at any look, and at the last look only."""

    false_verdicts: float
    at_the_end: float


def draws(random: Random, gained: float, lost: float, cases: int) -> list[float]:
    """Return a difference for each case: a gain, a loss, or none."""
    values = (random.random() for _ in range(cases))
    return [1.0 if value < gained else -1.0 if value < gained + lost else 0.0 for value in values]


def decision(differences: list[float]) -> int:
    """Return after how many cases the test decides; the number of all if it does not."""
    for asked in range(STEP, len(differences), STEP):
        if sequential_result(differences[:asked], MARGIN).decided:
            return asked
    return len(differences)


def simulate(gained: float, lost: float, cases: int, runs: int, seed: int = 0) -> Simulation:
    """Return how often the capital of the hypothesis of no difference exceeds 20, as in `sequential_result`."""
    generator = np.random.default_rng(seed)
    seen = at_the_end = 0
    for start in range(0, runs, 2000):
        values = generator.random((min(2000, runs - start), cases))
        gains = np.cumsum(values < gained, axis=1)
        losses = np.cumsum((values >= gained) & (values < gained + lost), axis=1)
        capital = np.zeros(gains.shape)
        for bet in (*BETS, *(-bet for bet in BETS)):
            capital += np.exp(gains * np.log1p(bet) + losses * np.log1p(-bet)) / (2 * len(BETS))
        looks = capital[:, STEP - 1 :: STEP] > 20
        seen += int(looks.any(axis=1).sum())
        at_the_end += int(looks[:, -1].sum())
    return Simulation(seen / runs, at_the_end / runs)


def main(runs: int) -> None:
    print(f"equal arms, 200 cases, a look after every {STEP}, {runs:,} comparisons each: declared different")
    for flips in (0.02, 0.1, 0.2, 0.4, 1.0):
        result = simulate(flips / 2, flips / 2, 200, runs)
        shares = f"{result.false_verdicts:.2%} at any look, {result.at_the_end:.2%} at the last"
        print(f"    {flips:4.0%} of cases flip: {shares}")
    random = Random(0)
    for name, gained, lost in (
        ("35 against 64 %, independent", 0.65 * 0.64, 0.35 * 0.36),
        ("35 against 64 %, 5 % lost", 0.34, 0.05),
        ("50 against 60 %, 5 % lost", 0.15, 0.05),
    ):
        stops = [decision(draws(random, gained, lost, 200)) for _ in range(500)]
        decided = mean(stop < 200 for stop in stops)
        print(
            f"{name}: decided after {median(stops):.0f} of 200 (median), {mean(stops):.0f} (mean), {decided:.0%} early"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
