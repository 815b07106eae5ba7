"""A test of paired differences that may be looked at after every case: it stays valid whenever one stops.

Under the hypothesis that the mean difference is m, a player who bets a fraction of the capital on each difference does
not win on average, at any time of looking: capital above 1 / 0.05 has a probability of 5 % at most (Ville 1939).
The capital is the mean over bets of both signs; the means that it does not reject are a confidence sequence (Waudby-
Smith and Ramdas 2024). Fixed samples need fewer cases for the same power: the price of looking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from punie_build.evaluation.statistics import ALPHA

BETS = (0.2, 0.45, 0.7)  # fractions of the greatest bet that cannot lose all
GRID = 400  # steps of candidate means in [-1, 1]


class SequentialResult(Struct, frozen=True, kw_only=True):
    """The mean difference of `n` units, its interval and its p-value, valid at every time of stopping.

    `decided`: the interval excludes 0, or is within the margin.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    decided: bool


def sequential_result(differences: Sequence[float], margin: float, alpha: float = ALPHA) -> SequentialResult:
    """Return the state of the test after these differences in [-1, 1]. It is the same for any order of them."""
    import numpy as np

    means = np.linspace(-1, 1, GRID + 1)
    counts = Counter(differences)
    values, repeats = np.array([*counts] or [0.0]), np.array([*counts.values()] or [0], float)
    logs = []
    for sign in (-1, 1):
        for bet in BETS:
            stakes = sign * bet / (1 + abs(means))
            logs.append(np.log1p(stakes[:, None] * (values[None, :] - means[:, None])) @ repeats)
    capital = np.logaddexp.reduce(np.array(logs), axis=0) - np.log(len(logs))
    accepted = means[capital < -np.log(alpha)]
    n, step = len(differences), 1 / GRID  # half a step of the grid on either side
    mean = float(sum(differences) / n) if n else 0.0
    low, high = (float(accepted[0]), float(accepted[-1])) if len(accepted) else (mean, mean)
    p = float(min(1.0, np.exp(-capital[GRID // 2])))
    low, high = max(-1.0, min(low - step, mean)), min(1.0, max(high + step, mean))
    if p >= alpha:
        low, high = min(low, 0.0), max(high, 0.0)
    else:
        low, high = (max(low, 1e-6), high) if mean > 0 else (low, min(high, -1e-6))
    return SequentialResult(
        n=n, mean=mean, low=low, high=high, p=p, decided=p < alpha or (-margin <= low and high <= margin)
    )
