"""Statistics of scores and of passes: intervals and tests that are valid at the sizes of suites.

The coverage of the intervals was simulated, and tests compare the numbers with those of scipy; `docs/why.md` names the
sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import atan, comb, cos, erfc, exp, floor, fsum, gcd, lcm, lgamma, log, pi, sin, sqrt

Z95 = 1.959963984540054
Z80 = 0.8416212335729143  # for a power of 80 %
ALPHA = 0.05
MAX_EXACT_WORK = 300_000_000  # additions of an exact sign-flip test, about 0.3 s; above it, random signs are drawn
MIN_EQUAL_STEPS = 200  # as many steps of the greatest size have less variance than all: their sum is almost normal
MAX_EXACT_TAIL = 300  # pairs; above it, the power of a test is computed by the normal approximation
N_RANDOM_SIGNS = 50_000  # random sign patterns; a p-value of 0.05 has then a standard error of 0.001


def wilson_interval(passed: float, n: float, z: float = Z95) -> tuple[float, float]:
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


def t_interval(values: Sequence[float], weights: Sequence[float], alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval of the weighted mean of at least two units (cluster-robust, t of n - 1 degrees)."""
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    half = t_quantile(len(values) - 1, alpha) * cluster_error(values, weights)
    return mean - half, mean + half


def cluster_error(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the cluster-robust standard error of the weighted mean of units; 0 for fewer than two."""
    n, total = len(values), sum(weights)
    if n < 2:
        return 0.0
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    squares = sum((w * (v - mean)) ** 2 for w, v in zip(weights, values, strict=True))
    return sqrt(squares * n / (n - 1)) / total


def agreeing_interval(low: float, high: float, estimate: float, p: float) -> tuple[float, float]:
    """Return an interval that excludes 0 if and only if `p` is significant, as the inversion of the test does.

    A bound that contradicts the test moves to 0, or to a millionth beyond it.
    """
    if p >= ALPHA:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 1e-6), high) if estimate > 0 else (low, min(high, -1e-6))


@lru_cache(maxsize=4096)
def fraction(value: float) -> Fraction:
    """Return the simple fraction that a score stands for: 0.333333 is 1/3. Others are rounded to millionths."""
    rest, numerators, denominators = value, (1, 0), (0, 1)  # the last two convergents of its continued fraction
    while True:
        term = floor(rest)
        numerators = (term * numerators[0] + numerators[1], numerators[0])
        denominators = (term * denominators[0] + denominators[1], denominators[0])
        if denominators[0] > 500:
            return Fraction(round(value * 10**6), 10**6)
        if abs(numerators[0] / denominators[0] - value) < 1e-6:
            return Fraction(numerators[0], denominators[0])
        rest = 1 / (rest - term)


def sign_flip_p(differences: Sequence[float | Fraction]) -> float:
    """Return the exact two-sided p-value of the sum, if each difference is as likely as its opposite (Fisher's
    sign-flip test).

    For differences of -1, 0 and 1 this is McNemar's exact test. Differences are scaled to integers by their least
    common denominator, and the distribution of the sum is built difference by difference. If that takes more than
    `MAX_EXACT_WORK` additions, it is approximated by the normal distribution and its correction for kurtosis, with an
    error below 0.0001, unless few differences dominate: then `N_RANDOM_SIGNS` sign patterns of a fixed seed are drawn,
    and a p-value of 0.05 has a standard error of 0.001.
    """
    import numpy as np

    exact = [item for d in differences if (item := d if isinstance(d, Fraction) else fraction(d))]
    if not exact:
        return 1.0
    scale = lcm(*(d.denominator for d in exact))
    scaled = [int(d * scale) for d in exact]
    step = gcd(*scaled)
    observed, steps = abs(sum(scaled)) // step, sorted(abs(d) // step for d in scaled)
    total = sum(steps)
    if observed == 0:
        return 1.0
    if total == len(steps):  # equal steps: the binomial distribution of the signs
        return _coin_p(total, (total + observed) // 2)
    if len(steps) * total > MAX_EXACT_WORK:
        return _approximate_p([step / total for step in steps], observed / total, 1 / total)
    chances = np.zeros(total + 1)  # by the sum of the differences with a plus sign
    chances[0], end = 1.0, 1
    for d in steps:
        halves = 0.5 * chances[:end]
        chances[:end] = halves
        end += d
        chances[d:end] += halves
    return min(1.0, 2 * float(chances[-(-(total + observed) // 2) :].sum()))


def _coin_p(n: int, least: int) -> float:
    """Return twice the probability that at least this many of `n` coins show heads, exactly."""
    ways = total = comb(n, least)
    for k in range(least, n):
        ways = ways * (n - k) // (k + 1)
        total += ways
    return min(1.0, float(Fraction(2 * total, 2**n)))


def _approximate_p(steps: Sequence[float], observed: float, unit: float) -> float:
    """Return the p-value of sign flips of sorted steps, whose sum has values two units apart."""
    squares = fsum(step * step for step in steps)
    if steps[-1] ** 2 * MIN_EQUAL_STEPS > squares:
        return _random_sign_flip_p(steps, observed)
    return _edgeworth_p((observed - unit) / sqrt(squares), -2 * fsum(step**4 for step in steps) / squares**2)


def _edgeworth_p(z: float, kurtosis: float) -> float:
    """Return the two-sided p-value of a symmetric sum from its standard score and its excess kurtosis."""
    density = exp(-z * z / 2) / sqrt(2 * pi)
    return max(0.0, min(1.0, erfc(z / sqrt(2)) + density * kurtosis / 12 * (z**3 - 3 * z)))


def _random_sign_flip_p(steps: Sequence[float], observed: float) -> float:
    import numpy as np

    generator, n_bytes = np.random.default_rng(0), (N_RANDOM_SIGNS + 7) // 8
    sums = np.zeros(8 * n_bytes, np.float32)
    for start in range(0, len(steps), 64):
        block = np.array(steps[start : start + 64], np.float32)
        random_bytes = np.frombuffer(generator.bytes(len(block) * n_bytes), np.uint8).reshape(len(block), n_bytes)
        sums += (2 * block) @ np.unpackbits(random_bytes, axis=1).astype(np.float32)
    extreme = int((abs(sums[:N_RANDOM_SIGNS] - sum(steps)) >= observed - 1e-6).sum())
    return (extreme + 1) / (N_RANDOM_SIGNS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values with the correction of Holm (1979) for the probability of any false positive."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, least = [1.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def against_best(ps: Sequence[float]) -> list[float]:
    """Return the p-values of all others against the best, corrected for its choice: it is one of the pairs of `len(ps)
    + 1` that differ most, so each pair counts (Bonferroni)."""
    pairs = len(ps) * (len(ps) + 1) / 2
    return [min(1.0, pairs * p) for p in ps]


@lru_cache(maxsize=256)
def normal_quantile(alpha: float) -> float:
    """Return the quantile of the normal distribution that leaves half of `alpha` above it."""
    from statistics import NormalDist

    return Z95 if alpha == ALPHA else NormalDist().inv_cdf(1 - alpha / 2)


def pass_hat_k(passes: int, n: int, k: int) -> float:
    """Return the probability that `k` attempts all pass, estimated from `passes` of `n` (pass^k, Yao et al. 2024)."""
    if not 0 < k <= n:
        raise ValueError(f"k: {k} attempts of {n} - use 1 to {n}")
    return comb(passes, k) / comb(n, k)


def pass_at_k(passes: int, n: int, k: int) -> float:
    """Return the probability that one of `k` attempts passes, estimated from `passes` of `n` (pass@k, Chen et al.
    2021)."""
    return 1 - pass_hat_k(n - passes, n, k)


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
            power += probability * _tail(count, gained / flips, min_gains)
    return power


def _tail(n: int, rate: float, least: int) -> float:
    """Return the probability of at least this many of `n`; above 300, by the normal approximation."""
    spread = sqrt(n * rate * (1 - rate))
    if n <= MAX_EXACT_TAIL or spread < 5:
        return sum(p for k, p in _binomial(n, rate) if k >= least)
    return 0.5 * erfc((least - 0.5 - n * rate) / (spread * sqrt(2)))


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
    if flips > MAX_EXACT_TAIL:
        return floor(flips / 2 + Z95 * sqrt(flips) / 2 + 0.5) + 1
    tail, needed = 0.0, None
    for k, probability in reversed(_binomial(flips, 0.5)):
        tail += probability
        if 2 * tail >= ALPHA:
            break
        needed = k
    return needed


@lru_cache(maxsize=4096)
def t_quantile(degrees: int, alpha: float = ALPHA) -> float:
    """Return the quantile of Student's t that leaves half of `alpha` above it, by bisection; above 100 degrees, by its
    expansion."""
    z = normal_quantile(alpha)
    if degrees > 100:
        return z + (z**3 + z) / (4 * degrees)
    low, high = z, 13.0 * ALPHA / alpha  # that of one degree is nearly proportional to 1 / alpha
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_p(middle, degrees) > alpha else (low, middle)
    return high


def student_t_p(t: float, degrees: int) -> float:
    """Return the two-sided p-value of Student's t: the closed sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = atan(abs(t) / sqrt(degrees))
    term, total = (cos(angle), 0.0) if degrees % 2 else (1.0, 0.0)
    for k in range(1 + degrees % 2, degrees, 2):
        total += term
        term *= cos(angle) ** 2 * k / (k + 1)
    within = 2 / pi * (angle + sin(angle) * total) if degrees % 2 else sin(angle) * total
    return max(0.0, min(1.0, 1 - within))
