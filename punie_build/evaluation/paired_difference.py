"""Paired differences of two models on the same cases. All functions are pure.

Cases of a group, such as paraphrases, count as one unit with their mean. Without groups each case is a unit. An
estimate, its interval, its p-value and its verdict are computed from the same units with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import fsum

from msgspec import Struct, field
from msgspec.structs import replace

from punie_build.evaluation import statistics
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.spec import MARGIN


class PairedDifference(Struct, frozen=True, kw_only=True):
    """The difference of an arm from the first arm on the same cases, with its 95 % interval.

    `n` cases in `units` groups. `gained`, `lost`: cases that pass more or less often. `p`: exact p-value (sign-flip
    test over units), with groups that of the cluster-robust t.
    `low`, `high`: they include 0 if and only if the adjusted p-value is not significant. With groups or weights they
    are cluster-robust, with Student's t.
    `adjusted`: Holm-corrected over all arms. `detectable`: the smallest gain that is detected with 80 % power if as
    many units get worse as here. `graded*`: the same of the graded score, weighted. `unchanged`: the fraction of cases
    with an equal pass rate.
    `tests`: the number of intervals that hold together with 95 %: of arms and categories without a selection between
    them.
    `verdict`: improved or regressed, if the adjusted p-value is significant; equivalent, if the interval is within
    `margin`; invalid without cases; otherwise inconclusive.
    """

    arm: str
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    detectable: float
    graded: float
    graded_low: float
    graded_high: float
    graded_p: float
    n: int
    units: int
    margin: float = MARGIN
    adjusted: float = 0.0
    verdict: str = "inconclusive"
    unchanged: float = field(default=1.0, name="alike")
    tests: int = 1

    @property
    def equivalent(self) -> bool:
        """Whether the interval is within the margin."""
        return -self.margin <= self.low and self.high <= self.margin


def scored_pairs(base: Iterable[CaseScore], arm: Iterable[CaseScore]) -> list[tuple[CaseScore, CaseScore]]:
    """Return the scores of the cases to which the base has a scored answer.

    What is unscored counts against the arm: its own answers as not passed, those of the base not at all.
    """
    pairs = [(b, a) for b, a in zip(base, arm, strict=True) if b.epochs]
    return [
        (replace(b, errors=0, score=round(b.score * b.answers / b.epochs, 6)) if b.errors else b, a) for b, a in pairs
    ]


def paired_difference(
    name: str, base: Sequence[CaseScore], arm: Sequence[CaseScore], margin: float = MARGIN, tests: int = 1
) -> PairedDifference:
    """Compute the paired difference arm - base. Both must have the same cases in the same order.

    `adjusted` and `verdict` are not yet corrected for multiple comparisons; the intervals are held for `tests`.
    """
    pairs = scored_pairs(base, arm)
    flips = [Fraction(a.passes, a.answers) - Fraction(b.passes, b.answers) for b, a in pairs]
    passes = _estimate(pairs, flips, tests, weighted=False)
    scores = [statistics.fraction(a.score) - statistics.fraction(b.score) for b, a in pairs]
    graded = _estimate(pairs, scores, tests, weighted=True)
    difference = PairedDifference(
        arm=name,
        difference=passes.mean,
        low=passes.low,
        high=passes.high,
        gained=sum(d > 0 for d in flips),
        lost=sum(d < 0 for d in flips),
        p=passes.p,
        detectable=passes.detectable,
        graded=graded.mean,
        graded_low=graded.low,
        graded_high=graded.high,
        graded_p=graded.p,
        n=len(pairs),
        units=passes.units,
        margin=margin,
        unchanged=sum(d == 0 for d in flips) / len(flips) if flips else 1.0,
        tests=tests,
    )
    return with_verdict(difference, difference.p)


class Estimate(Struct, frozen=True):
    """The mean difference of units with its 95 % interval, its p-value and the difference that would be detected."""

    mean: float
    low: float
    high: float
    p: float
    units: int
    detectable: float


def _estimate(
    pairs: Sequence[tuple[CaseScore, CaseScore]], differences: Sequence[Fraction], tests: int, *, weighted: bool
) -> Estimate:
    """Estimate the mean difference of units. The weight of a unit is the mean weight of its cases."""
    members: dict[str, list[tuple[Fraction, Fraction]]] = {}
    one = Fraction(1)
    for (b, _), d in zip(pairs, differences, strict=True):
        weight = one if b.share_weight == 1 else statistics.fraction(b.share_weight)
        weight = weight * Fraction(b.weight) if weighted and b.weight != 1 else weight
        members.setdefault(b.group or b.case, []).append((weight, d))
    units = [unit[0] if len(unit) == 1 else _unit(unit) for unit in members.values()]
    return estimate_units(units, len(pairs), tests)


def estimate_units(units: Sequence[tuple[Fraction, Fraction]], n_cases: int, tests: int = 1) -> Estimate:
    """Estimate the mean of (weight, difference) of units of `n_cases` cases. The interval is one of `tests` that hold
    together.

    Groups whose cases differ are tested with the cluster-robust t. Single cases, and groups that flip as one, are
    tested with sign flips, because t is not valid for few -1, 0 and 1. `detectable`: by McNemar's test if all are such,
    else by the spread of these differences.
    """
    one, alpha = Fraction(1), statistics.ALPHA / tests
    sizes, values = [float(weight) for weight, _ in units], [float(d) for _, d in units]
    products = [d if weight == one else weight * d for weight, d in units]
    n, mean = len(units), fsum(map(float, products)) / fsum(sizes) if units else 0.0
    error, flips = statistics.cluster_error(values, sizes), all(value in (-1, 0, 1) for value in values)
    clustered = n < n_cases and error > 0 and not flips
    p = statistics.student_t_p(mean / error, n - 1) if clustered else statistics.sign_flip_p(products)
    if clustered or (error and len(set(sizes)) > 1):
        low, high = statistics.t_interval(values, sizes, alpha)
        detectable = min(1.0, (statistics.t_quantile(n - 1) + statistics.Z80) * error)
    else:
        low, high = statistics.paired_interval(values, statistics.normal_quantile(alpha))
        if flips:
            detectable = statistics.detectable_gain(n, lost=round(sum(d < 0 for d in values) / n, 2) if n else 0.0)
        else:
            detectable = min(1.0, (statistics.Z95 + statistics.Z80) * error)
    low, high = statistics.agreeing_interval(max(-1.0, low), min(1.0, high), mean, tests * p)
    return Estimate(mean, low, high, p, n, detectable)


def _unit(cases: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """Return the mean weight and the weighted mean difference of (weight, difference) of a group."""
    total = sum(weight for weight, _ in cases)
    return Fraction(total, len(cases)), Fraction(sum(weight * d for weight, d in cases), total)


def with_verdict(difference: PairedDifference, adjusted: float) -> PairedDifference:
    """Return the difference with an adjusted p-value, and the interval and the verdict that agree with it."""
    low, high = statistics.agreeing_interval(difference.low, difference.high, difference.difference, adjusted)
    difference = replace(difference, low=low, high=high, adjusted=adjusted)
    verdict = "inconclusive"
    if difference.n == 0:
        verdict = "invalid"
    elif adjusted < statistics.ALPHA:
        verdict = "improved" if difference.difference > 0 else "regressed"
    elif difference.equivalent:
        verdict = "equivalent"
    return replace(difference, verdict=verdict)
