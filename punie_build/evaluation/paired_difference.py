"""Deltas: how many cases an arm passes, and how two arms differ on the same cases. Pure: judged cases in, values out.

Cases of a group are wordings of one question: the group counts once, with the mean of its cases. Without groups each case is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from punie_build.evaluation import statistics
from punie_build.evaluation.scoring import CaseScore

MARGIN = 0.05  # a difference that nobody would mind


class PassCount(Struct, frozen=True):
    """Passed cases of some cases, with the 95 % interval of the share. A case asked several times counts by how often it passed.
    `units` are the groups among them, where there are fewer than cases."""

    passed: int | float
    n: int
    units: int = 0
    mean: float | None = None

    @property
    def share(self) -> float:
        if self.mean is not None:
            return self.mean
        return self.passed / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        units = self.units or self.n
        return statistics.wilson_interval(self.share * units, units)


class PairedDifference(Struct, frozen=True, kw_only=True):
    """One arm against the first: the mean difference of passes, its 95 % interval, and how many cases flipped.

    `n` cases in `units` groups. `p` is exact (sign flips of the groups; McNemar's without groups and epochs), `adjusted` is p among all
    arms of the comparison (Holm). `detectable`: the smallest gain that so many would show with 80 % power, if as many were lost.
    `graded`, `graded_low` and `graded_high` are the same of the graded score, weighted. `verdict`: improved or regressed if the whole
    interval says so, and the adjusted p; equivalent if it lies within `margin`; else inconclusive.
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
    alike: float = 1.0

    @property
    def equivalent(self) -> bool:
        """Whether the interval lies within the margin, whatever side of 0 it is on."""
        return -self.margin <= self.low and self.high <= self.margin


def pass_count(cases: Sequence[CaseScore]) -> PassCount:
    """Passes of cases; those that nobody judged are none of them."""
    judged = [case for case in cases if case.epochs]
    passed = sum(case.share for case in judged)
    units = statistics.cluster_means([case.share for case in judged], [case.group or case.case for case in judged])
    whole = int(passed) if passed == int(passed) else round(passed, 6)
    if len(units) == len(judged):
        return PassCount(whole, len(judged))
    return PassCount(whole, len(judged), len(units), round(sum(units) / len(units), 6))


def scored_pairs(base: Iterable[CaseScore], arm: Iterable[CaseScore]) -> list[tuple[CaseScore, CaseScore]]:
    """The same case in both, where both were judged."""
    return [(b, a) for b, a in zip(base, arm, strict=True) if b.epochs and a.epochs]


def paired_difference(
    name: str, base: Sequence[CaseScore], arm: Sequence[CaseScore], margin: float = MARGIN
) -> PairedDifference:
    """The paired difference arm - base. `adjusted` and `verdict` are as of this arm alone. Both are of the same cases, in order."""
    both = scored_pairs(base, arm)
    groups = [b.group or b.case for b, _ in both]
    flips = [a.share - b.share for b, a in both]
    units = statistics.cluster_means(flips, groups)
    graded = statistics.cluster_means([a.score - b.score for b, a in both], groups)
    low, high = statistics.paired_interval(units)
    graded_low, graded_high = statistics.paired_interval(graded)
    lost = sum(d < 0 for d in units)
    weight = sum(b.weight for b, _ in both)
    found = PairedDifference(
        arm=name,
        difference=sum(units) / len(units) if units else 0.0,
        low=low,
        high=high,
        gained=sum(d > 0 for d in flips),
        lost=sum(d < 0 for d in flips),
        p=statistics.sign_flip_p(units),
        detectable=statistics.detectable_gain(len(units), lost=round(lost / len(units), 2) if units else 0.0),
        graded=sum((a.score - b.score) * b.weight for b, a in both) / weight if weight else 0.0,
        graded_low=graded_low,
        graded_high=graded_high,
        graded_p=statistics.sign_flip_p(graded),
        n=len(both),
        units=len(units),
        margin=margin,
        alike=sum(d == 0 for d in flips) / len(flips) if flips else 1.0,
    )
    return with_verdict(found, found.p)


def with_verdict(delta: PairedDifference, adjusted: float) -> PairedDifference:
    """The delta with its verdict, given the p that holds among all that were looked at."""
    sure = adjusted < statistics.ALPHA or adjusted == delta.p  # alone, the interval decides
    verdict = "inconclusive"
    if delta.n == 0:
        verdict = "invalid"
    elif sure and delta.low > 0:
        verdict = "improved"
    elif sure and delta.high < 0:
        verdict = "regressed"
    elif delta.equivalent:
        verdict = "equivalent"
    return replace(delta, adjusted=adjusted, verdict=verdict)
