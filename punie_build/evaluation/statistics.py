"""Statistics of scores and of passes: intervals and tests that are valid at the sizes of suites.

The coverage of the intervals was simulated, and tests compare the numbers with those of scipy; `docs/why.md` names the
sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import atan, comb, cos, exp, gcd, lgamma, log, pi, sin, sqrt

Z95 = 1.959963984540054
ALPHA = 0.05


def wilson_interval(passed: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927); (0, 1) for `n` = 0."""
    if n == 0:
        return 0.0, 1.0
    rate, z2 = passed / n, z * z
    center = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def paired_interval(differences: Sequence[float], z: float = Z95) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences in [-1, 1] ("plus two", Bonett and Price 2012).

    One difference of +1 and one of -1 are added first. For passes and fails this is the adjusted Wald interval, which
    keeps its coverage for few cases, unlike a bootstrap.
    """
    n = len(differences) + 2
    mean = sum(differences) / n
    variance = (sum(d * d for d in differences) + 2) / n - mean * mean
    half = z * sqrt(max(0.0, variance) / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def cluster_means(values: Sequence[float], groups: Sequence[str]) -> list[float]:
    """Return the mean of each group, in the order of first appearance, so that ten paraphrases count as one case."""
    members: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [sum(group) / len(group) for group in members.values()]


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of the sum, if each difference is as likely as its opposite (Fisher's
    sign-flip test).

    For differences of -1, 0 and 1 this is McNemar's exact test. Differences are rounded to thousandths, above 150 of
    them to hundredths. The counts of all 2**n sums are the digits of one long integer: adding a difference d adds the
    integer to itself, shifted by d digits. 150 differences take 0.3 s; passes and fails take much less.
    """
    scale = 1000 if len(differences) <= 150 else 100
    scaled = [round(d * scale) for d in differences]
    steps = [abs(d) for d in scaled if d]
    if not steps:
        return 1.0
    step = gcd(*steps)
    observed, steps = abs(sum(scaled)) // step, [d // step for d in steps]
    width = len(steps) // 8 + 1  # bytes that hold a count of up to 2**n
    counts = 1
    for d in steps:
        counts += counts << (8 * width * d)
    total = sum(steps)  # digit k is the number of sign patterns with the sum 2k - total
    tail = counts >> (8 * width * -(-(total + observed) // 2))
    digits = tail.to_bytes((tail.bit_length() + 7) // 8, "little")
    patterns = sum(int.from_bytes(digits[start : start + width], "little") for start in range(0, len(digits), width))
    return min(1.0, float((2 * patterns if observed else 2 ** len(steps)) / 2 ** len(steps)))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values with the correction of Holm (1979) for the probability of any false positive."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, least = [1.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def pass_hat_k(passes: int, n: int, k: int) -> float:
    """Return the probability that `k` attempts all pass, estimated from `passes` of `n` (pass^k, Yao et al. 2024)."""
    if not 0 < k <= n:
        raise ValueError(f"k: {k} attempts of {n} - use 1 to {n}")
    return comb(passes, k) / comb(n, k)


@lru_cache(maxsize=256)
def detectable_gain(n: int, power: float = 0.8, lost: float = 0.0) -> float:
    """Return the smallest net gain that `n` pairs detect (exact McNemar test, 5 %) with this power.

    `lost` is the fraction of pairs that get worse at the same time. The result is 1 if no gain is detected. 20 cases
    detect gains from 0.41.
    """
    low, high = 1, round((1 - 2 * lost) * 1000)
    if high < 1 or mcnemar_power(n, high / 1000 + lost, lost) < power:
        return 1.0
    while low < high:
        middle = (low + high) // 2
        sufficient = mcnemar_power(n, middle / 1000 + lost, lost) >= power
        low, high = (low, middle) if sufficient else (middle + 1, high)
    return low / 1000


def mcnemar_power(n: int, gained: float, lost: float) -> float:
    """Return the power of the exact McNemar test (5 %) if these fractions of `n` pairs gain and lose."""
    flips = gained + lost
    power = 0.0
    for count, probability in _binomial(n, flips):
        if (min_gains := _min_gains(count)) is not None:
            power += probability * sum(p for k, p in _binomial(count, gained / flips) if k >= min_gains)
    return power


def _binomial(n: int, rate: float) -> list[tuple[int, float]]:
    """Return (k, probability) of the binomial distribution, without terms beyond five standard deviations."""
    if not 0 < rate < 1:
        return [(n if rate >= 1 else 0, 1.0)]
    width = 5 * sqrt(n * rate * (1 - rate)) + 5
    terms = range(max(0, int(n * rate - width)), min(n, int(n * rate + width)) + 1)
    base = lgamma(n + 1)
    return [(k, exp(base - lgamma(k + 1) - lgamma(n - k + 1) + k * log(rate) + (n - k) * log(1 - rate))) for k in terms]


@lru_cache(maxsize=4096)
def _min_gains(flips: int) -> int | None:
    """Return how many of the flips must be gains for p < 0.05. None: no number is enough."""
    tail, needed = 0, None
    for k in range(flips, -1, -1):
        tail += comb(flips, k)
        if 2 * tail >= ALPHA * 2**flips:
            break
        needed = k
    return needed


def student_t_p(t: float, degrees: int) -> float:
    """Return the two-sided p-value of Student's t: the closed sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = atan(abs(t) / sqrt(degrees))
    term, total = (cos(angle), 0.0) if degrees % 2 else (1.0, 0.0)
    for k in range(1 + degrees % 2, degrees, 2):
        total += term
        term *= cos(angle) ** 2 * k / (k + 1)
    within = 2 / pi * (angle + sin(angle) * total) if degrees % 2 else sin(angle) * total
    return max(0.0, min(1.0, 1 - within))
