"""Comparing: evals side by side, case by case, with a verdict that has an interval. Pure: scores in, values out.

What is reported is of the cases on `confirm` that no arm may have learnt. Among several arms the best is chosen on `select`, so that
what it shows on `confirm` is not the luck it was chosen for; without such cases everything is both, and p is held among all arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from punie_build.errors import IdentityError
from punie_build.evaluation import statistics
from punie_build.evaluation.contamination import ContaminatedCase
from punie_build.evaluation.junit import JunitCase
from punie_build.evaluation.paired_difference import (
    MARGIN,
    PairedDifference,
    PassCount,
    paired_difference,
    pass_count,
    with_verdict,
)
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import AnswerRates, CaseScore, answer_rates
from punie_build.evaluation.suite_validation import MIN_CATEGORY_CASES
from punie_build.runtime.console import message

MAX_UNSCORED = 0.02  # the share of answers that may be missing before nothing follows from the rest


class SelectedArm(Struct, frozen=True, kw_only=True):
    """The arm that was chosen on `select`, before what is reported was looked at. `totals` are of all arms there; `alike` are those that
    cannot be told from it."""

    arm: str
    n: int
    totals: tuple[PassCount, ...]
    alike: tuple[str, ...]


class ComparisonResult(Struct, frozen=True, kw_only=True):
    """`comparison.json`: what the report shows, for programs. Arms are in the recipe's order; the first is what others are held against.

    `side`: what `totals`, `categories`, `deltas` and `category_deltas` are of: `confirm`, or `all` where no case is on confirm. `n` cases
    of it; `whole` are the totals of all cases. `verdict` is that of the chosen arm, or of the only other one. `rates` are of all
    cases. `leaks` are cases that occur in what an arm was trained on: they are in `whole` only. `objections` say why the verdict is
    `invalid`. `canaries` name the weights that answered.
    """

    name: str
    suite: str
    arms: tuple[str, ...]
    verdict: str
    side: str
    n: int
    totals: tuple[PassCount, ...]
    categories: dict[str, tuple[PassCount, ...]]
    deltas: tuple[PairedDifference, ...]
    category_deltas: dict[str, tuple[PairedDifference, ...]]
    whole: tuple[PassCount, ...]
    rates: tuple[AnswerRates, ...]
    canaries: tuple[str, ...]
    chosen: SelectedArm | None = None
    leaks: tuple[ContaminatedCase, ...] = ()
    objections: tuple[str, ...] = ()
    margin: float = MARGIN
    parity: bool = False
    sound: bool = True

    @property
    def arm(self) -> str:
        """The arm that the verdict is of."""
        return self.chosen.arm if self.chosen else self.arms[1]


def compare(
    name: str,
    arms: Sequence[Scores],
    *,
    margin: float = MARGIN,
    parity: bool = False,
    leaks: Sequence[ContaminatedCase] = (),
    sound: bool = True,
) -> ComparisonResult:
    """Hold every arm against the first. `parity`: the arms should be the same, and may be the same weights.

    Raises IdentityError if two arms are the same weights where they should not be.
    """
    if not parity:
        _distinct(name, arms)
    learnt = {leak.case for leak in leaks}
    fresh = [[case for case in arm.cases if case.case not in learnt] for arm in arms]
    confirm = [[case for case in cases if case.split == "confirm"] for cases in fresh]
    side = "confirm" if confirm[0] else "all"
    shown = confirm if side == "confirm" else fresh
    select = [[case for case in cases if case.split == "select"] for cases in fresh]
    apart = side == "confirm" and bool(select[0])
    chosen = select_best([arm.arm for arm in arms], select if apart else shown) if len(arms) > 2 else None
    deltas = _deltas(arms, shown, margin, chosen.arm if chosen and apart else None)
    objections = tuple(_objections(arms, shown[0], len(learnt)))
    if objections:
        deltas = [replace(each, verdict="invalid") for each in deltas]
    categories = list(dict.fromkeys(case.category for case in shown[0]))
    parts = {name: [[case for case in cases if case.category == name] for cases in shown] for name in categories}
    return ComparisonResult(
        name=name,
        suite=arms[0].suite,
        arms=tuple(arm.arm for arm in arms),
        verdict=next(each.verdict for each in deltas if chosen is None or each.arm == chosen.arm),
        side=side,
        n=len(shown[0]),
        totals=tuple(map(pass_count, shown)),
        categories={name: tuple(map(pass_count, some)) for name, some in parts.items()},
        deltas=tuple(deltas),
        category_deltas={name: tuple(_deltas(arms, some, margin)) for name, some in parts.items()},
        whole=tuple(pass_count(arm.cases) for arm in arms),
        rates=tuple(answer_rates(arm.cases) for arm in arms),
        canaries=tuple(arm.canary for arm in arms),
        chosen=chosen,
        leaks=tuple(leaks),
        objections=objections,
        margin=margin,
        parity=parity,
        sound=sound,
    )


def _distinct(name: str, arms: Sequence[Scores]) -> None:
    for index, arm in enumerate(arms):
        for other in arms[:index]:
            if arm.canary == other.canary:
                raise IdentityError(
                    f"comparison.{name}: {other.arm} and {arm.arm} answer from the same weights (canary {arm.canary}) - one of them was mislabelled, delete both evals and build again; if they should be the same, say `parity = true`"
                )


def _objections(arms: Sequence[Scores], shown: Sequence[CaseScore], learnt: int) -> list[str]:
    wrong = []
    for arm in arms:
        asked = sum(case.epochs + case.errors for case in arm.cases)
        lost = sum(case.errors for case in arm.cases)
        if lost > MAX_UNSCORED * asked:
            wrong.append(f"{lost} of {asked} answers of {arm.arm} never came or cannot be judged")
    if not shown:
        wrong.append(f"no case is left to report: {learnt} occur in what an arm was trained on")
    return wrong


def _deltas(
    arms: Sequence[Scores], cases: Sequence[Sequence[CaseScore]], margin: float, before: str | None = None
) -> list[PairedDifference]:
    """Every arm but the first against it, their p's held among all of them. `before`: the arm that was chosen without looking at these
    cases: it was asked one question, not many."""
    found = [paired_difference(arm.arm, cases[0], some, margin) for arm, some in zip(arms[1:], cases[1:], strict=True)]
    adjusted = statistics.holm([each.p for each in found])
    return [each if each.arm == before else with_verdict(each, p) for each, p in zip(found, adjusted, strict=True)]


def select_best(names: Sequence[str], cases: Sequence[Sequence[CaseScore]]) -> SelectedArm | None:
    """The best of all arms but the first by passes, then by graded score, then by order. None where there is no case to choose by."""
    if not cases[0]:
        return None
    totals = [pass_count(some) for some in cases]

    def worth(index: int) -> tuple[float, float]:
        return totals[index].share, sum(case.score * case.weight for case in cases[index])

    best = max(range(1, len(names)), key=lambda index: (*worth(index), -index))
    others = [index for index in range(1, len(names)) if index != best]
    apart = [paired_difference(names[index], cases[best], cases[index]) for index in others]
    adjusted = statistics.holm([each.p for each in apart])
    alike = [each.arm for each, p in zip(apart, adjusted, strict=True) if with_verdict(each, p).verdict != "regressed"]
    return SelectedArm(arm=names[best], n=len(cases[0]), totals=tuple(totals), alike=tuple(alike))


@message
def verdict_sentence(delta: PairedDifference, n: int, base: str) -> str:
    """The verdict in words."""
    numbers = f"{delta.difference:+.0%} of {n} cases (95 % interval {delta.low:+.0%} to {delta.high:+.0%})"
    if delta.verdict in ("inconclusive", "equivalent"):
        within = f" beyond {delta.margin:.0%}" if delta.verdict == "equivalent" else ""
        return f"no difference{within} found between {delta.arm} and {base}: {numbers}; {n} cases find differences from {delta.detectable:.0%}"
    if delta.verdict == "invalid":
        return f"nothing follows about {delta.arm} and {base}: {numbers}"
    return f"{delta.arm} {delta.verdict} on {base}: {numbers}"


@message
def comparison_summary(result: ComparisonResult) -> str:
    """A line for the build: the verdict of each arm, and what a reader must know before he believes it."""
    parts = [verdict_sentence(each, result.n, result.arms[0]) for each in result.deltas]
    if result.chosen:
        parts.insert(0, f"{result.chosen.arm} is the best of {len(result.arms) - 1} on {result.chosen.n} other cases")
    if result.leaks:
        parts.append(f"{len(result.leaks)} cases left out, they occur in training data")
    parts += result.objections
    if not result.sound:
        parts.append("the suite fails its own test (`punie-build suite check`)")
    return "; ".join(parts)


def comparison_metrics(result: ComparisonResult) -> dict[str, float]:
    """What gates may ask of a comparison: of each arm, and of the chosen one under the name `chosen`."""
    found: dict[str, float] = {
        "cases": result.n,
        "leaks": len(result.leaks),
        "valid": float(not result.objections),
        "sound": float(result.sound),
    }
    named = [(arm, index) for index, arm in enumerate(result.arms)]
    for name, index in [*named, ("chosen", result.arms.index(result.arm))]:
        found[f"{name}.share"] = result.totals[index].share
        found |= {f"{name}.{rate}": value for rate, value in result.rates[index].metrics().items()}
        found |= {f"{name}.category.{of}.share": shares[index].share for of, shares in result.categories.items()}
        if index and result.category_deltas:
            found |= _of_delta(name, result.deltas[index - 1])
            found[f"{name}.worst"] = min(some[index - 1].high for some in result.category_deltas.values())
            for of, some in result.category_deltas.items():
                found |= {
                    f"{name}.category.{of}.low": some[index - 1].low,
                    f"{name}.category.{of}.high": some[index - 1].high,
                }
    return found


def _of_delta(name: str, each: PairedDifference) -> dict[str, float]:
    values = {
        "difference": each.difference,
        "low": each.low,
        "high": each.high,
        "p": each.adjusted,
        "graded": each.graded,
    }
    values |= {"equivalent": float(each.equivalent), "alike": each.alike, "improved": float(each.verdict == "improved")}
    return {f"{name}.{key}": value for key, value in values.items()}


def few(categories: Mapping[str, Sequence[PassCount]]) -> list[str]:
    """The categories with too few cases for a gate to mean much."""
    return [name for name, shares in categories.items() if shares[0].n < MIN_CATEGORY_CASES]


def junit_results(result: ComparisonResult, arms: Sequence[Scores]) -> dict[str, list[JunitCase]]:
    """The cases of every arm as test results: a case fails that the first arm passed and this one does not. Cases that count for nothing
    are skipped, with the reason; so are those that the first arm failed, too."""
    learnt = {leak.case: leak.place for leak in result.leaks}
    return {
        arm.arm: [
            JunitCase(group=case.category, name=case.case, **_outcome(before, case, learnt))
            for before, case in zip(arms[0].cases, arm.cases, strict=True)
        ]
        for arm in arms[1:]
    }


def _outcome(before: CaseScore, after: CaseScore, learnt: Mapping[str, str]) -> dict[str, Any]:
    why = f"{after.failure}: {after.reason}"
    if place := learnt.get(after.case):
        return {"state": "skipped", "lines": (f"occurs in {place}",)}
    if not after.epochs:
        return {"state": "skipped", "lines": (why,)}
    if after.share >= before.share:
        return {
            "state": "" if after.passed else "skipped",
            "lines": () if after.passed else (f"fails as before: {why}",),
        }
    return {"state": "regressed", "lines": (why,)}
