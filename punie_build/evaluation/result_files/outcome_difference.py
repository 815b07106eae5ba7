"""The paired difference of two result files: verdict, interval, flips and power. All functions are pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import fsum
from pathlib import Path

from msgspec import Struct

from punie_build.errors import DataError, join_first
from punie_build.evaluation import statistics
from punie_build.evaluation.paired_difference import Estimate, estimate_units
from punie_build.evaluation.result_files.bfcl_score import with_passes
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile
from punie_build.evaluation.scoring import MAX_UNSCORED
from punie_build.evaluation.spec import MARGIN

AGREEMENT = 1e-12  # between our mean and the mean that a file states


class ArmOutcomes(Struct, frozen=True, kw_only=True):
    """One of the two files: its cases and its own mean. `reported`: the mean that the file states."""

    name: str
    file: str
    format: str
    cases: int
    unscored: int
    mean: float
    reported: float | None
    unpaired: tuple[str, ...]


class Flip(Struct, frozen=True, kw_only=True):
    """A case whose value differs."""

    case: str
    before: float
    after: float
    category: str = ""
    text: str = ""


class OutcomeDifference(Struct, frozen=True, kw_only=True):
    """The difference second - first on the cases of both files, with its 95 % interval.

    `gained`, `lost`: the cases that are better or worse. `p`: exact sign-flip test over cases, with groups that of the
    cluster-robust t. `detectable`: the difference that is detected with 80 % power. `margin`: the largest difference
    that counts as equivalent. All are in the unit of the metric. `verdict`: as that of a comparison.
    """

    metric: str
    verdict: str
    first: ArmOutcomes
    second: ArmOutcomes
    n: int
    units: int
    means: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float
    detectable: float
    margin: float
    binary: bool
    lower_is_better: bool
    gained: tuple[Flip, ...]
    lost: tuple[Flip, ...]
    categories: dict[str, tuple[int, float, float]]
    notes: tuple[str, ...]

    def amount(self, value: float, sign: str = "") -> str:
        """Return a difference in points, or in the unit of the metric."""
        return f"{100 * value:{sign}.1f} pp" if self.binary else f"{value:{sign}.4g}"

    @property
    def interval(self) -> str:
        return f"{self.amount(self.low, '+')} to {self.amount(self.high, '+')}"


def difference(first: ResultFile, second: ResultFile, margin: float = MARGIN, lower: bool = False) -> OutcomeDifference:
    """Compare two files. `lower`: smaller values are better. Raise DataError if they have no case in common."""
    if first.metric != second.metric:
        raise DataError(
            f"{first.file} has {first.metric}, {second.file} {second.metric} - name a metric of both by --metric"
        )
    own = (first.mean, second.mean)
    if first.implied_passes or second.implied_passes:
        first, second = _completed(first, second)
    pairs, other_questions = _pairs(first, second)
    if not pairs:
        raise DataError(_without_pairs(first, second, other_questions))
    before, after = ([outcome.mean for outcome in side] for side in zip(*pairs, strict=True))
    lower = lower or (first.lower and second.lower)
    sign = -1.0 if lower else 1.0
    binary = all(value in (0, 1) for pair in pairs for outcome in pair for value in outcome.values)
    low_end, high_end = min(0.0, *before, *after), max(*before, *after)
    span = 1.0 if low_end == 0 and high_end <= 1 else high_end - low_end
    estimate = _estimate(pairs, [(b - a) / span for a, b in zip(before, after, strict=True)])
    mean = fsum(after) / len(after) - fsum(before) / len(before)
    mean = estimate.mean * span if estimate.units < len(pairs) else mean
    gained, lost = _flips(pairs, sign)
    names = _names(first, second)
    arms = tuple(
        _arm(name, file, mean_, pairs, index)
        for index, (name, file, mean_) in enumerate(zip(names, (first, second), own, strict=True))
    )
    low, high = min(estimate.low * span, mean), max(estimate.high * span, mean)
    return OutcomeDifference(
        metric=first.metric,
        verdict=_verdict(arms, sign * mean, low, high, estimate.p, margin * span),
        first=arms[0],
        second=arms[1],
        n=len(pairs),
        units=estimate.units,
        means=(fsum(before) / len(before), fsum(after) / len(after)),
        difference=mean,
        low=low,
        high=high,
        p=estimate.p,
        detectable=estimate.detectable * span,
        margin=margin * span,
        binary=binary,
        lower_is_better=lower,
        gained=gained,
        lost=lost,
        categories=_categories(pairs),
        notes=tuple(_notes(first, second, arms, other_questions, lower)),
    )


def _completed(first: ResultFile, second: ResultFile) -> tuple[ResultFile, ResultFile]:
    if first.format != second.format:
        raise DataError(
            f"{first.file} and {second.file}: a score file names failed cases only, so it is compared with another one "
            "- name two score files"
        )
    return with_passes(first, second), with_passes(second, first)


def _pairs(first: ResultFile, second: ResultFile) -> tuple[list[tuple[CaseValues, CaseValues]], list[str]]:
    """Return the scored cases of both files, and the cases that have one name but other questions."""
    both = [(outcome, second.outcomes[case]) for case, outcome in first.outcomes.items() if case in second.outcomes]
    others = [a.case for a, b in both if a.question and b.question and a.question != b.question]
    excluded = set(others)
    return [(a, b) for a, b in both if a.case not in excluded and a.values and b.values], others


def _without_pairs(first: ResultFile, second: ResultFile, others: Sequence[str]) -> str:
    if others:
        return (
            f"{first.file} and {second.file}: {len(others)} cases have the same id and another question "
            "- name results of the same cases"
        )
    examples = " and ".join(join_first([*file.outcomes], 2) or "none" for file in (first, second))
    return f"{first.file} and {second.file} have no scored case in common: {examples} - name results of the same cases"


def _estimate(pairs: Sequence[tuple[CaseValues, CaseValues]], scaled: Sequence[float]) -> Estimate:
    """Estimate the mean of scaled differences. Cases of a group count as one unit."""
    members: dict[str, list[Fraction]] = {}
    for (a, _), value in zip(pairs, scaled, strict=True):
        members.setdefault(a.group or a.case, []).append(statistics.fraction(value))
    one = Fraction(1)
    units = [(one, unit[0] if len(unit) == 1 else Fraction(sum(unit), len(unit))) for unit in members.values()]
    return estimate_units(units, len(pairs))


def _flips(pairs: Sequence[tuple[CaseValues, CaseValues]], sign: float) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    flips = [
        Flip(case=a.case, before=a.mean, after=b.mean, category=a.category, text=a.text or b.text)
        for a, b in pairs
        if a.mean != b.mean
    ]
    better = tuple(flip for flip in flips if sign * (flip.after - flip.before) > 0)
    return better, tuple(flip for flip in flips if sign * (flip.after - flip.before) < 0)


def _names(first: ResultFile, second: ResultFile) -> tuple[str, str]:
    """Return names of the arms that differ: models, else names of files, else paths."""
    paths = Path(first.file), Path(second.file)
    for names in ((first.arm, second.arm), (paths[0].stem, paths[1].stem)):
        if all(names) and names[0] != names[1]:
            return names
    return first.file, second.file if second.file != first.file else f"{second.file} (again)"


def _arm(
    name: str, file: ResultFile, mean: float | None, pairs: Sequence[tuple[CaseValues, CaseValues]], index: int
) -> ArmOutcomes:
    paired = {pair[index].case for pair in pairs}
    return ArmOutcomes(
        name=name,
        file=file.file,
        format=file.format,
        cases=len(file.outcomes),
        unscored=sum(1 for outcome in file.outcomes.values() if not outcome.values),
        mean=mean or 0.0,
        reported=file.reported,
        unpaired=tuple(case for case in file.outcomes if case not in paired),
    )


def _verdict(arms: Sequence[ArmOutcomes], gain: float, low: float, high: float, p: float, margin: float) -> str:
    if any(arm.unscored > MAX_UNSCORED * arm.cases for arm in arms):
        return "invalid"
    if p < statistics.ALPHA:
        return "improved" if gain > 0 else "regressed"
    return "equivalent" if -margin <= low and high <= margin else "inconclusive"


def _categories(pairs: Sequence[tuple[CaseValues, CaseValues]]) -> dict[str, tuple[int, float, float]]:
    """Return the number of cases and both means of each category, if there are several."""
    members: dict[str, list[tuple[CaseValues, CaseValues]]] = {}
    for pair in pairs:
        members.setdefault(pair[0].category or pair[1].category, []).append(pair)
    if len(members) < 2:
        return {}
    return {
        name: (
            len(of_one),
            fsum(a.mean for a, _ in of_one) / len(of_one),
            fsum(b.mean for _, b in of_one) / len(of_one),
        )
        for name, of_one in members.items()
    }


def _notes(
    first: ResultFile, second: ResultFile, arms: Sequence[ArmOutcomes], others: Sequence[str], lower: bool
) -> list[str]:
    """Return a line for each fact that limits the result."""
    notes = [f"{file.file}: {note}" for file in (first, second) for note in file.notes]
    for arm in arms:
        if arm.reported is not None and abs(arm.reported - arm.mean) > AGREEMENT * max(1.0, abs(arm.mean)):
            notes.append(f"{arm.file} states {arm.reported:.6g}, but its cases have the mean {arm.mean:.6g}")
        if arm.unscored:
            notes.append(f"{arm.unscored} of {arm.cases} cases of {arm.name} are not scored, and not compared")
    alone = [
        [case for case in arm.unpaired if case not in other.outcomes]
        for arm, other in zip(arms, (second, first), strict=True)
    ]
    for arm, cases in zip(arms, alone, strict=True):
        if cases:
            notes.append(f"{len(cases)} cases are in {arm.file} only: {join_first(cases, 3)}")
    if others:
        notes.append(
            f"{len(others)} cases have the same id and another question, and are not compared: {join_first(others, 3)}"
        )
    if lower:
        notes.append(f"smaller values of {first.metric} are better")
    shared = [name for name in first.metrics if name in second.metrics and name != first.metric]
    if shared:
        notes.append(f"other metrics of both files: {join_first(shared, 6)} (--metric)")
    return notes
