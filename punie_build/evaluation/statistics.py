"""Statistics of scores and of pass and fail: intervals and tests that hold at the sizes suites have.

Coverage of these choices was simulated against the textbook ones, and their numbers are held against scipy's in the tests;
`docs/why.md` names the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import atan, comb, cos, exp, gcd, lgamma, log, pi, sin, sqrt

Z95 = 1.959963984540054
ALPHA = 0.05


def wilson_interval(passed: float, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927). `n` = 0 knows nothing: (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = passed / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(differences: Sequence[float], z: float = Z95) -> tuple[float, float]:
    """95 % interval of the mean of paired differences in [-1, 1] ("plus two", Bonett and Price 2012).

    One difference of +1 and one of -1 are added first: for pass/fail this is the adjusted Wald interval, and it stays
    honest for a handful of cases, where a bootstrap claims certainty.
    """
    n = len(differences) + 2
    mean = sum(differences) / n
    variance = (sum(d * d for d in differences) + 2) / n - mean * mean
    half = z * sqrt(max(0.0, variance) / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def cluster_means(values: Sequence[float], groups: Sequence[str]) -> list[float]:
    """The mean of each group, in the order of first appearance: what belongs together counts once, so that ten wordings of one question
    are not ten questions. With every group of one these are the values."""
    members: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [sum(some) / len(some) for some in members.values()]


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of as uneven a split of the flips, were gains and losses equally likely (McNemar, exact)."""
    n, tail = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    return min(1.0, float(2 * sum(comb(n, k) for k in range(tail + 1)) / 2**n))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Exact two-sided p of as large a sum, were every difference as likely as its opposite (Fisher's sign-flip permutation).

    For differences of -1, 0 and 1 this is McNemar's. Differences are taken to the nearest thousandth, above 150 of them to the nearest
    hundredth. All 2**n sums are counted at once: the counts stand side by side in one long integer, and a difference d adds to it
    itself, shifted by that many places. 0.3 s for 150, and nothing to speak of for passes and fails.
    """
    grid = 1000 if len(differences) <= 150 else 100
    whole = [round(d * grid) for d in differences]
    steps = [abs(d) for d in whole if d]
    if not steps:
        return 1.0
    step = gcd(*steps)
    observed, steps = abs(sum(whole)) // step, [d // step for d in steps]
    width = len(steps) // 8 + 1  # bytes that hold a count of up to 2**n
    counts = 1
    for d in steps:
        counts += counts << (8 * width * d)
    total = sum(steps)  # place k holds the ways to the sum 2k - total
    tail = counts >> (8 * width * -(-(total + observed) // 2))
    text = tail.to_bytes((tail.bit_length() + 7) // 8, "little")
    ways = sum(int.from_bytes(text[at : at + width], "little") for at in range(0, len(text), width))
    return min(1.0, float((2 * ways if observed else 2 ** len(steps)) / 2 ** len(steps)))


def holm(ps: Sequence[float]) -> list[float]:
    """Each p as it stands among all of them (Holm 1979): the chance that any of them is a false alarm stays below what each says."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, least = [1.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def pass_hat_k(passes: int, n: int, k: int) -> float:
    """The chance that `k` tries all pass, of `n` tries of which so many passed (pass^k, Yao et al. 2024): reliability, not luck."""
    if not 0 < k <= n:
        raise ValueError(f"k: {k} tries of {n} - use 1 to {n}")
    return comb(passes, k) / comb(n, k)


@lru_cache(maxsize=256)
def detectable_gain(n: int, power: float = 0.8, lost: float = 0.0) -> float:
    """The smallest net gain that `n` pairs would show (exact McNemar, 5 %) with this power, if the share `lost` got worse at the same
    time; 1 where none would be shown.

    Said beside every "no difference found": a suite of 20 cases is blind to less than 0.41.
    """
    low, high = 1, round((1 - 2 * lost) * 1000)
    if high < 1 or mcnemar_power(n, high / 1000 + lost, lost) < power:
        return 1.0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar_power(n, middle / 1000 + lost, lost) >= power else (middle + 1, high)
    return low / 1000


def mcnemar_power(n: int, gained: float, lost: float) -> float:
    """The power of exact McNemar at 5 %: how often `n` pairs, of which these shares gain and lose, come out significant as a gain."""
    flips = gained + lost
    sure = 0.0
    for count, chance in _likely(n, flips):
        if (needed := _needed(count)) is not None:
            sure += chance * sum(p for k, p in _likely(count, gained / flips) if k >= needed)
    return sure


def _likely(n: int, share: float) -> list[tuple[int, float]]:
    """(k, chance) of the binomial distribution, without what is more than five deviations away."""
    if not 0 < share < 1:
        return [(n if share >= 1 else 0, 1.0)]
    far = 5 * sqrt(n * share * (1 - share)) + 5
    ends = range(max(0, int(n * share - far)), min(n, int(n * share + far)) + 1)
    base = lgamma(n + 1)
    return [
        (k, exp(base - lgamma(k + 1) - lgamma(n - k + 1) + k * log(share) + (n - k) * log(1 - share))) for k in ends
    ]


@lru_cache(maxsize=4096)
def _needed(flips: int) -> int | None:
    """How many of so many flips must be gains for p < 0.05; None: no number does."""
    tail, needed = 0, None
    for k in range(flips, -1, -1):
        tail += comb(flips, k)
        if 2 * tail >= ALPHA * 2**flips:
            break
        needed = k
    return needed


def student_t_p(t: float, free: int) -> float:
    """Two-sided p of Student's t with `free` degrees of freedom: the closed sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = atan(abs(t) / sqrt(free))
    term, total = (cos(angle), 0.0) if free % 2 else (1.0, 0.0)
    for k in range(1 + free % 2, free, 2):
        total += term
        term *= cos(angle) ** 2 * k / (k + 1)
    within = 2 / pi * (angle + sin(angle) * total) if free % 2 else sin(angle) * total
    return max(0.0, min(1.0, 1 - within))
