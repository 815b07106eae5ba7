"""Paired differences of two models on the same cases. All functions are pure.

Cases of a group, such as paraphrases, count as one unit with their mean. Without groups each case is a unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from punie_build.evaluation import statistics
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.spec import MARGIN


class PairedDifference(Struct, frozen=True, kw_only=True):
    """The difference of an arm from the first arm on the same cases, with its 95 % interval.

    `n` cases in `units` groups. `gained`, `lost`: cases that pass more or less often. `p`: exact p-value (sign-flip
    test over units);
    `adjusted`: Holm-corrected over all arms. `detectable`: the smallest gain that is detected with 80 % power if as
    many units get worse as here. `graded*`: the same of the graded score, weighted. `unchanged`: the fraction of cases
    with an equal pass rate.
    `verdict`: improved or regressed, if the interval excludes 0 and the adjusted p-value is significant; equivalent, if
    the interval is within `margin`; invalid without cases; otherwise inconclusive.
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

    @property
    def equivalent(self) -> bool:
        """Whether the interval is within the margin."""
        return -self.margin <= self.low and self.high <= self.margin


def scored_pairs(base: Iterable[CaseScore], arm: Iterable[CaseScore]) -> list[tuple[CaseScore, CaseScore]]:
    """Return the scores of the cases that both arms have scored answers to."""
    return [(b, a) for b, a in zip(base, arm, strict=True) if b.epochs and a.epochs]


def paired_difference(
    name: str, base: Sequence[CaseScore], arm: Sequence[CaseScore], margin: float = MARGIN
) -> PairedDifference:
    """Compute the paired difference arm - base. Both must have the same cases in the same order.

    `adjusted` and `verdict` are not yet corrected for multiple comparisons.
    """
    pairs = scored_pairs(base, arm)
    groups = [b.group or b.case for b, _ in pairs]
    flips = [a.pass_rate - b.pass_rate for b, a in pairs]
    units = statistics.cluster_means(flips, groups)
    graded = statistics.cluster_means([a.score - b.score for b, a in pairs], groups)
    low, high = statistics.paired_interval(units)
    graded_low, graded_high = statistics.paired_interval(graded)
    lost = sum(d < 0 for d in units)
    weight = sum(b.weight for b, _ in pairs)
    difference = PairedDifference(
        arm=name,
        difference=sum(units) / len(units) if units else 0.0,
        low=low,
        high=high,
        gained=sum(d > 0 for d in flips),
        lost=sum(d < 0 for d in flips),
        p=statistics.sign_flip_p(units),
        detectable=statistics.detectable_gain(len(units), lost=round(lost / len(units), 2) if units else 0.0),
        graded=sum((a.score - b.score) * b.weight for b, a in pairs) / weight if weight else 0.0,
        graded_low=graded_low,
        graded_high=graded_high,
        graded_p=statistics.sign_flip_p(graded),
        n=len(pairs),
        units=len(units),
        margin=margin,
        unchanged=sum(d == 0 for d in flips) / len(flips) if flips else 1.0,
    )
    return with_verdict(difference, difference.p)


def with_verdict(difference: PairedDifference, adjusted: float) -> PairedDifference:
    """Return the difference with an adjusted p-value and the verdict that follows from it."""
    significant = adjusted < statistics.ALPHA or adjusted == difference.p  # without a correction, the interval decides
    verdict = "inconclusive"
    if difference.n == 0:
        verdict = "invalid"
    elif significant and difference.low > 0:
        verdict = "improved"
    elif significant and difference.high < 0:
        verdict = "regressed"
    elif difference.equivalent:
        verdict = "equivalent"
    return replace(difference, adjusted=adjusted, verdict=verdict)
