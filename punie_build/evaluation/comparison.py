"""Comparison of evals on one suite, with a verdict. All functions are pure.

The result is computed on the `confirm` cases, without contaminated ones. With three or more arms the best is selected
on the `select` cases, so its result on `confirm` is free of selection bias. Suites without `select` cases use all cases
for both, and p-values are Holm-corrected over all arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from punie_build.evaluation import statistics
from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.evaluation.asked_weights import AskedWeights, require_distinct
from punie_build.evaluation.contamination import ContaminatedCase
from punie_build.evaluation.junit import JunitCase
from punie_build.evaluation.paired_difference import (
    PairedDifference,
    paired_difference,
    with_verdict,
)
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import AnswerRates, CaseScore, PassCount, answer_rates, pass_count, valid
from punie_build.evaluation.spec import MARGIN
from punie_build.runtime.console import format_points, message


class SelectedArm(Struct, frozen=True, kw_only=True):
    """The arm that was selected on `n` cases.

    `totals`: the pass counts of all arms there. `ties`: arms that do not differ from it.
    """

    arm: str
    n: int
    totals: tuple[PassCount, ...]
    ties: tuple[str, ...] = field(name="alike")


class StoppedAsking(Struct, frozen=True, kw_only=True):
    """Where a comparison stopped to ask: after `asked` of `cases` cases, at look number `looks`."""

    asked: int
    cases: int
    looks: int
    decided: bool


class ComparisonResult(Struct, frozen=True, kw_only=True):
    """`comparison.json`: the result of a comparison. Arms are in the order of the recipe; the first is the baseline.

    `split`: the cases of `n`, `totals`, `categories`, `differences` and `category_differences`: `confirm`, or `all` if
    no case is on confirm. `all_totals`, `rates`: over all cases. `verdict`: of the selected arm, or of the second of
    two arms.
    `contaminated`: cases that occur in training data of an arm; only `all_totals` and `rates` contain them.
    `stopped`: where it stopped to ask. `objections`: why the verdict is `invalid`.
    `canaries`: fingerprints of the weights that answered. `sound`: whether the suite passes its validation.
    """

    name: str
    suite: str
    arms: tuple[str, ...]
    verdict: str
    split: str = field(name="side")
    n: int
    totals: tuple[PassCount, ...]
    categories: dict[str, tuple[PassCount, ...]]
    differences: tuple[PairedDifference, ...] = field(name="deltas")
    category_differences: dict[str, tuple[PairedDifference, ...]] = field(name="category_deltas")
    all_totals: tuple[PassCount, ...] = field(name="whole")
    rates: tuple[AnswerRates, ...]
    canaries: tuple[str, ...]
    selected: SelectedArm | None = field(default=None, name="chosen")
    contaminated: tuple[ContaminatedCase, ...] = field(default=(), name="leaks")
    objections: tuple[str, ...] = ()
    margin: float = MARGIN
    parity: bool = False
    sound: bool = True
    stopped: StoppedAsking | None = None

    @property
    def arm(self) -> str:
        """The arm of the verdict."""
        return self.selected.arm if self.selected else self.arms[1]


def compare(
    name: str,
    arms: Sequence[Scores],
    *,
    margin: float = MARGIN,
    parity: bool = False,
    contaminated: Sequence[ContaminatedCase] = (),
    sound: bool = True,
    weights: Sequence[AskedWeights] = (),
) -> ComparisonResult:
    """Compare every arm with the first. `parity`: the arms are expected to be equal and may have the same weights.
    `weights`: those of each arm.

    Raise IdentityError if two arms have the same weights and settings without `parity`.
    """
    if not parity:
        require_distinct(name, arms, weights or [AskedWeights()] * len(arms))
    excluded = {case.case for case in contaminated}
    clean = [[case for case in arm.cases if case.case not in excluded] for arm in arms]
    confirm, select = (
        [[case for case in cases if case.split == split] for cases in clean] for split in ("confirm", "select")
    )
    split, reported = ("confirm", confirm) if confirm[0] else ("all", clean)
    disjoint = split == "confirm" and bool(select[0])  # the cases of the selection and of the result
    selected = select_best([arm.arm for arm in arms], select if disjoint else reported) if len(arms) > 2 else None
    chosen = selected.arm if selected and disjoint else None
    differences = _differences(arms, reported, margin, chosen)
    objections = tuple(_objections(arms, reported[0], len(excluded)))
    if objections:
        differences = [replace(difference, verdict="invalid") for difference in differences]
    names = list(dict.fromkeys(case.category for case in reported[0]))
    categories = {name: [[case for case in cases if case.category == name] for cases in reported] for name in names}
    return ComparisonResult(
        name=name,
        suite=arms[0].suite,
        arms=tuple(arm.arm for arm in arms),
        verdict=next(d.verdict for d in differences if selected is None or d.arm == selected.arm),
        split=split,
        n=len(reported[0]),
        totals=tuple(map(pass_count, reported)),
        categories={name: tuple(map(pass_count, by_arm)) for name, by_arm in categories.items()},
        differences=tuple(differences),
        category_differences={
            name: tuple(_differences(arms, by_arm, margin, chosen, len(categories)))
            for name, by_arm in categories.items()
        },
        all_totals=tuple(pass_count(arm.cases) for arm in arms),
        rates=tuple(answer_rates(arm.cases) for arm in arms),
        canaries=tuple(arm.canary for arm in arms),
        selected=selected,
        contaminated=tuple(contaminated),
        objections=objections,
        margin=margin,
        parity=parity,
        sound=sound,
    )


def _objections(arms: Sequence[Scores], reported: Sequence[CaseScore], n_contaminated: int) -> list[str]:
    objections = []
    for arm in arms:
        total, unscored = sum(case.answers for case in arm.cases), sum(case.errors for case in arm.cases)
        if not valid(arm.cases):
            objections.append(f"{unscored} of {total} answers of {arm.arm} are missing or cannot be scored")
    if not reported:
        objections.append(f"no case remains: {n_contaminated} occur in training data of an arm")
    return objections


def _differences(
    arms: Sequence[Scores],
    cases: Sequence[Sequence[CaseScore]],
    margin: float,
    uncorrected: str | None = None,
    n_categories: int = 1,
) -> list[PairedDifference]:
    """Compute the difference of every arm but the first. Intervals are held for the number of arms and categories, and
    p-values are corrected for it (Holm over arms, Bonferroni over categories).

    `uncorrected` is an arm that was selected on other cases: it is the only one tested on these, so it needs no
    correction for the others.
    """
    others = list(zip(arms[1:], cases[1:], strict=True))
    tests = [n_categories * (1 if arm.arm == uncorrected else len(others)) for arm, _ in others]
    differences = [
        paired_difference(arm.arm, cases[0], scores, margin, count)
        for (arm, scores), count in zip(others, tests, strict=True)
    ]
    adjusted = statistics.holm([difference.p for difference in differences])
    return [
        with_verdict(difference, min(1.0, n_categories * (difference.p if difference.arm == uncorrected else p)))
        for difference, p in zip(differences, adjusted, strict=True)
    ]


def select_best(names: Sequence[str], cases: Sequence[Sequence[CaseScore]]) -> SelectedArm | None:
    """Select the best arm but the first by pass rate, then graded score, then order. Return None without cases."""
    if not cases[0]:
        return None
    totals = [pass_count(scores) for scores in cases]

    def rank(index: int) -> tuple[float, float, int]:
        return totals[index].rate, sum(case.score * case.weight * case.share_weight for case in cases[index]), -index

    best = max(range(1, len(names)), key=rank)
    others = [index for index in range(1, len(names)) if index != best]
    differences = [paired_difference(names[index], cases[best], cases[index]) for index in others]
    adjusted = statistics.against_best([difference.p for difference in differences])
    pairs = zip(differences, adjusted, strict=True)
    ties = [difference.arm for difference, p in pairs if with_verdict(difference, p).verdict != "regressed"]
    return SelectedArm(arm=names[best], n=len(cases[0]), totals=tuple(totals), ties=tuple(ties))


@message
def verdict_sentence(difference: PairedDifference, n: int, base: str) -> str:
    """Return the verdict as a sentence."""
    d = difference
    together = f" of {d.tests} together" if d.tests > 1 else ""
    numbers = f"{format_points(d.difference)} on {n} cases (95 % interval{together} {format_points(d.low, d.high)})"
    if d.verdict in ("inconclusive", "equivalent"):
        margin = f" beyond {d.margin * 100:g} pp" if d.verdict == "equivalent" else ""
        power = f"minimum detectable effect {d.detectable * 100:.0f} pp"
        return f"no difference{margin} found between {d.arm} and {base}: {numbers}; {power}"
    if d.verdict == "invalid":
        return f"the comparison of {d.arm} and {base} is invalid: {numbers}"
    return f"{d.arm} {d.verdict} on {base}: {numbers}"


@message
def stopped_sentence(stopped: StoppedAsking) -> str:
    """Return where a comparison stopped to ask, and why."""
    reason = "decided" if stopped.decided else "not decided"
    return f"{reason} after {stopped.asked} of {stopped.cases} cases; intervals and p are valid at any time of stopping"


@message
def comparison_summary(result: ComparisonResult) -> str:
    """Return one line: the verdict of each arm, and all that limits it."""
    parts = [verdict_sentence(difference, result.n, result.arms[0]) for difference in result.differences]
    if selected := result.selected:
        parts.insert(0, f"{selected.arm} is the best of {len(result.arms) - 1} on {selected.n} other cases")
    if result.contaminated:
        parts.append(f"{len(result.contaminated)} cases excluded, they occur in training data")
    if unproven := [arm for arm, canary in zip(result.arms, result.canaries, strict=True) if not canary]:
        parts.append(f"{UNPROVEN}: {', '.join(unproven)}")
    if stopped := result.stopped:
        parts.append(stopped_sentence(stopped))
    parts += result.objections
    if not result.sound:
        parts.append("the suite fails its validation (`punie-build suite check`)")
    return "; ".join(parts)


def comparison_metrics(result: ComparisonResult) -> dict[str, float]:
    """Return the metrics of a comparison for gates: of each arm, and again of the verdict's arm as `chosen`."""
    metrics: dict[str, float] = {
        "cases": result.n,
        "leaks": len(result.contaminated),
        "valid": float(not result.objections),
        "sound": float(result.sound),
    }
    indices = [(arm, index) for index, arm in enumerate(result.arms)]
    for name, index in [*indices, ("chosen", result.arms.index(result.arm))]:
        metrics[f"{name}.share"] = result.totals[index].rate
        metrics |= {f"{name}.{rate}": value for rate, value in result.rates[index].metrics().items()}
        for category, totals in result.categories.items():
            metrics[f"{name}.category.{category}.share"] = totals[index].rate
        if index and result.category_differences:
            metrics |= _difference_metrics(name, result.differences[index - 1])
            by_category = {key: arms[index - 1] for key, arms in result.category_differences.items()}
            metrics[f"{name}.worst"] = min(difference.high for difference in by_category.values())
            for category, difference in by_category.items():
                metrics[f"{name}.category.{category}.low"] = difference.low
                metrics[f"{name}.category.{category}.high"] = difference.high
    return metrics


def _difference_metrics(name: str, difference: PairedDifference) -> dict[str, float]:
    values = {
        "difference": difference.difference,
        "low": difference.low,
        "high": difference.high,
        "p": difference.adjusted,
        "graded": difference.graded,
        "equivalent": float(difference.equivalent),
        "alike": difference.unchanged,
        "improved": float(difference.verdict == "improved"),
    }
    return {f"{name}.{key}": value for key, value in values.items()}


def junit_results(result: ComparisonResult, arms: Sequence[Scores]) -> dict[str, list[JunitCase]]:
    """Return the cases of every arm but the first as test results.

    A case fails if its pass rate is lower than that of the first arm. Contaminated and unscored cases are skipped, and
    so are cases that fail in both arms.
    """
    locations = {case.case: case.location for case in result.contaminated}
    return {
        arm.arm: [
            JunitCase(group=case.category, name=case.case, **_outcome(before, case, locations))
            for before, case in zip(arms[0].cases, arm.cases, strict=True)
        ]
        for arm in arms[1:]
    }


def _outcome(before: CaseScore, after: CaseScore, locations: Mapping[str, str]) -> dict[str, Any]:
    reason = f"{after.failure}: {after.reason}"
    if location := locations.get(after.case):
        return {"state": "skipped", "lines": (f"occurs in {location}",)}
    if not after.epochs:
        return {"state": "skipped", "lines": (reason,)}
    if after.pass_rate < before.pass_rate:
        return {"state": "regressed", "lines": (reason,)}
    return {} if after.passed else {"state": "skipped", "lines": (f"fails as before: {reason}",)}
