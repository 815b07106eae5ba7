"""Statistics of pass and fail: intervals that hold at the sizes suites have.

Coverage of these choices was simulated against the textbook ones; `docs/why.md` names the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan, comb, cos, pi, sin, sqrt

Z95 = 1.959963984540054


def wilson(passed: int, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927). `n` = 0 knows nothing: (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = passed / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired(differences: Sequence[float], z: float = Z95) -> tuple[float, float]:
    """95 % interval of the mean of paired differences in [-1, 1] ("plus two", Bonett and Price 2012).

    One difference of +1 and one of -1 are added first: for pass/fail this is the adjusted Wald interval, and it stays
    honest for a handful of cases, where a bootstrap claims certainty.
    """
    n = len(differences) + 2
    mean = sum(differences) / n
    variance = (sum(d * d for d in differences) + 2) / n - mean * mean
    half = z * sqrt(variance / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of as uneven a split of the flips, were gains and losses equally likely (McNemar, exact)."""
    n, tail = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    return min(1.0, 2 * sum(comb(n, k) for k in range(tail + 1)) / float(2**n))


def detectable(n: int, power: float = 0.8) -> float:
    """The smallest gain that `n` pairs would show (exact McNemar, 5 %) with this power, if nothing got worse.

    Said beside every "no difference found": a suite of 20 cases is blind to less than 0.41.
    """
    needed = next(k for k in range(1, 64) if mcnemar(k, 0) < 0.05)
    for thousandth in range(1, 1000):
        gain = thousandth / 1000
        missed = sum(comb(n, k) * gain**k * (1 - gain) ** (n - k) for k in range(min(needed, n + 1)))
        if 1 - missed >= power:
            return gain
    return 1.0


def student(t: float, free: int) -> float:
    """Two-sided p of Student's t with `free` degrees of freedom: the closed sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = atan(abs(t) / sqrt(free))
    term, total = (cos(angle), 0.0) if free % 2 else (1.0, 0.0)
    for k in range(1 + free % 2, free, 2):
        total += term
        term *= cos(angle) ** 2 * k / (k + 1)
    within = 2 / pi * (angle + sin(angle) * total) if free % 2 else sin(angle) * total
    return max(0.0, min(1.0, 1 - within))


def holm(doubts: Sequence[float]) -> list[float]:
    """Two-sided p's of several questions asked at once, corrected (Holm 1979); in their order."""
    order = sorted(range(len(doubts)), key=doubts.__getitem__)
    corrected, worst = [0.0] * len(doubts), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, doubts[index] * (len(doubts) - rank)))
        corrected[index] = worst
    return corrected
