"""Comparing: evals side by side, case by case, with a verdict that has an interval. Pure: scores in, values out."""

from __future__ import annotations

from msgspec import Struct

from punie_build import stats
from punie_build.errors import IdentityError
from punie_build.evaluating import Scores
from punie_build.scoring import Scored


class Share(Struct, frozen=True):
    """Passed cases of some cases, with the 95 % interval of the share."""

    passed: int
    n: int

    @property
    def share(self) -> float:
        return self.passed / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return stats.wilson(self.passed, self.n)


class Delta(Struct, frozen=True, kw_only=True):
    """One arm against the first: the mean difference of passes, its interval, and how many cases flipped."""

    arm: str
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    detectable: float
    graded: float

    @property
    def verdict(self) -> str:
        """`improved` or `regressed` if the whole interval says so, else `inconclusive`."""
        return "improved" if self.low > 0 else "regressed" if self.high < 0 else "inconclusive"


class Compared(Struct, frozen=True, kw_only=True):
    """`comparison.json`: what the report shows, for programs."""

    name: str
    suite: str
    arms: tuple[str, ...]
    totals: tuple[Share, ...]
    categories: dict[str, tuple[Share, ...]]
    deltas: tuple[Delta, ...]
    canaries: tuple[str, ...]


def share(cases: list[Scored]) -> Share:
    return Share(sum(case.passed for case in cases), len(cases))


def delta(base: Scores, arm: Scores) -> Delta:
    """The paired difference arm - base over all cases."""
    passes = [(b.passed, a.passed) for b, a in zip(base.cases, arm.cases, strict=True)]
    differences = [float(after) - float(before) for before, after in passes]
    low, high = stats.paired(differences)
    gained, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    graded = sum(a.score - b.score for b, a in zip(base.cases, arm.cases, strict=True)) / len(passes)
    return Delta(
        arm=arm.arm,
        difference=sum(differences) / len(differences),
        low=low,
        high=high,
        gained=gained,
        lost=lost,
        p=stats.mcnemar(gained, lost),
        detectable=stats.detectable(len(passes)),
        graded=graded,
    )


def compared(name: str, arms: list[Scores]) -> Compared:
    """Hold every arm against the first. Raises IdentityError if two arms are the same weights."""
    for index, arm in enumerate(arms):
        for other in arms[:index]:
            if arm.canary == other.canary:
                raise IdentityError(
                    f"comparison.{name}: {other.arm} and {arm.arm} answer from the same weights (canary {arm.canary}) - one of them was mislabelled, delete both evals and build again"
                )
    categories = list(dict.fromkeys(case.category for case in arms[0].cases))
    return Compared(
        name=name,
        suite=arms[0].suite,
        arms=tuple(arm.arm for arm in arms),
        totals=tuple(share(list(arm.cases)) for arm in arms),
        categories={
            category: tuple(share([case for case in arm.cases if case.category == category]) for arm in arms)
            for category in categories
        },
        deltas=tuple(delta(arms[0], arm) for arm in arms[1:]),
        canaries=tuple(arm.canary for arm in arms),
    )


def sentence(delta: Delta, n: int, base: str) -> str:
    """The verdict in words."""
    numbers = f"{delta.difference:+.0%} of {n} cases (95 % interval {delta.low:+.0%} to {delta.high:+.0%})"
    if delta.verdict == "inconclusive":
        return f"no difference found between {delta.arm} and {base}: {numbers}; {n} cases find differences from {delta.detectable:.0%}"
    return f"{delta.arm} {delta.verdict} on {base}: {numbers}"


def metrics(result: Compared) -> dict[str, float]:
    """What gates may ask of a comparison: each arm's share of passed cases, and each difference with its interval."""
    shares = {f"{arm}.share": total.share for arm, total in zip(result.arms, result.totals, strict=True)}
    return shares | {
        f"{delta.arm}.{name}": value
        for delta in result.deltas
        for name, value in (("difference", delta.difference), ("low", delta.low), ("high", delta.high))
    }
