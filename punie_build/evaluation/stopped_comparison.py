"""A comparison that asks both arms case by case, in random order, until a test that is valid at any time decides.

The answers are those of the arms' own artifacts: requests, cache and proof are the same, so that a later comparison of
all cases only asks the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.engine import state
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.engine.work import StepResult, Work
from punie_build.evaluation import asked_weights, comparison, contamination, junit, suite_validation
from punie_build.evaluation import scores as score_files
from punie_build.evaluation.comparison import ComparisonResult, StoppedAsking
from punie_build.evaluation.paired_difference import PairedDifference, scored_pairs, with_verdict
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore, score_suite
from punie_build.evaluation.sequential_test import sequential_result
from punie_build.evaluation.spec import Eval, StoppedComparison
from punie_build.evaluation.statistics import ALPHA
from punie_build.evaluation.steps import trained_rows, unknown_data, unproven
from punie_build.evaluation.suite import Case, Suite

ARM_FOLDERS = ("arm-1", "arm-2")  # of the target: answers, proof and scores of each arm
ARMS = ("@first", "@second")  # the tasks of their answers, among the values that the step uses
MIN_LOOK, MAX_LOOKS = 10, 20  # cases between two looks at least, and looks at most


class ArmWork(Work[Any], frozen=True, kw_only=True):
    """The work of asking one arm. It says the same line once only."""

    lines: set[str]

    def say(self, text: str) -> None:
        if text not in self.lines:
            self.lines.add(text)
            super().say(text)


class ArmState(Struct, kw_only=True):
    """An arm with the scores of the cases that it was asked."""

    work: ArmWork
    suite: Suite
    cases: tuple[CaseScore, ...] = ()

    def ask(self, ids: set[str]) -> None:
        """Ask these cases, of which those that were asked come from the cache, and score them."""
        task, name = self.work.task, self.work.spec.suite
        suite = structs.replace(self.suite, cases=tuple(case for case in self.suite.cases if case.id in ids))
        work = structs.replace(self.work, task=structs.replace(task, uses={**task.uses, name: suite}))
        work.out.mkdir(parents=True, exist_ok=True)
        resolve(task.kind.step)(work)
        self.cases = score_suite(suite, score_files.answers_by_case(work.out))

    def scores(self, trained: Mapping[str, Any]) -> Scores:
        """Write and return the scores of all cases that were asked."""
        ids = {case.case for case in self.cases}
        suite = structs.replace(self.suite, cases=tuple(case for case in self.suite.cases if case.id in ids))
        spec = Eval(**{name: getattr(self.work.spec, name) for name in self.work.spec.__struct_fields__})
        return score_files.write_scores(spec, suite, self.work.out, self.work.out, None, trained)


def stopped_comparison(work: Work[StoppedComparison]) -> StepResult:
    """Ask two arms until the comparison is decided, and compare them on the cases that were asked."""
    spec, suite = work.spec, work.task.uses[work.spec.suite]
    arms = [_arm(work, key, folder) for key, folder in zip(ARMS, ARM_FOLDERS, strict=True)]
    contaminated = contamination.contaminated_cases(suite, trained_rows(work.root, work.task.details.learnt))
    units = _units(suite, {case.case for case in contaminated}, work.task.name)
    size, asked, looks, decided = max(MIN_LOOK, ceil(len(units) / MAX_LOOKS)), set[str](), 0, False
    while not decided and looks * size < len(units):
        looks += 1
        asked = {case.id for unit in units[: looks * size] for case in unit}
        for arm in arms if looks % 2 else arms[::-1]:  # the one that was asked last is still served
            arm.ask(asked)
        decided = sequential_result(unit_differences(arms[0].cases, arms[1].cases), spec.margin).decided
    scores = [arm.scores({}) for arm in arms]
    weights = [asked_weights.of_inputs(arm.work.key_inputs) for arm in arms]
    result = comparison.compare(
        work.task.name,
        scores,
        margin=spec.margin,
        contaminated=contaminated,
        sound=suite_validation.validate_suite(suite).sound,
        weights=weights,
    )
    cases = sum(map(len, units))
    stopped = StoppedAsking(asked=len(asked), cases=cases, looks=looks, decided=decided)
    result = structs.replace(_at_any_time(result, scores), stopped=stopped)
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    results = comparison.junit_results(result, scores)
    (work.out / "junit.xml").write_text(junit.to_xml(work.task.name, results) + "\n", encoding="utf-8")
    metrics = comparison.comparison_metrics(result) | unknown_data(work) | unproven(*result.canaries)
    return StepResult(comparison.comparison_summary(result), metrics | {"asked": float(len(asked))})


def _arm(work: Work[StoppedComparison], key: str, folder: str) -> ArmState:
    task: AnyTask = work.task.uses[key]
    arm_work = ArmWork(
        root=work.root,
        task=task,
        out=work.out / folder,
        logs=work.logs,
        key_inputs=state.key_inputs(work.root, task),
        afresh=work.afresh,
        since=work.since,
        lines=set(),
    )
    return ArmState(work=arm_work, suite=task.uses[task.spec.suite])


def _units(suite: Suite, excluded: set[str], name: str) -> list[list[Case]]:
    """Return the groups of cases that are reported, in a random order that the names decide."""
    confirm = [case for case in suite.cases if suite.split_of(case) == "confirm"]
    groups: dict[str, list[Case]] = {}
    for case in confirm or suite.cases:
        if case.id not in excluded:
            groups.setdefault(case.group or case.id, []).append(case)
    return [
        groups[group] for group in sorted(groups, key=lambda group: hashlib.sha256(f"{name} {group}".encode()).digest())
    ]


def unit_differences(base: Sequence[CaseScore], arm: Sequence[CaseScore], graded: bool = False) -> list[float]:
    """Return the mean difference of each group, of pass rates or of graded scores. Unscored answers count as in any
    comparison."""
    groups: dict[str, list[float]] = {}
    for before, after in scored_pairs(base, arm):
        value = after.score - before.score if graded else after.pass_rate - before.pass_rate
        groups.setdefault(before.group or before.case, []).append(value)
    return [sum(values) / len(values) for values in groups.values()]


def _at_any_time(result: ComparisonResult, scores: Sequence[Scores]) -> ComparisonResult:
    """Return a result whose intervals and p-values are those of the test that may stop at any time."""
    excluded = {case.case for case in result.contaminated}
    reported = [[case for case in arm.cases if case.case not in excluded] for arm in scores]
    names = list(result.category_differences)
    by_category = {
        name: tuple(
            _sequential(
                difference, [[case for case in cases if case.category == name] for cases in reported], len(names)
            )
            for difference in result.category_differences[name]
        )
        for name in names
    }
    differences = tuple(_sequential(difference, reported, 1) for difference in result.differences)
    return structs.replace(
        result,
        differences=differences,
        category_differences=by_category,
        verdict=differences[0].verdict,
    )


def _sequential(difference: PairedDifference, cases: Sequence[Sequence[CaseScore]], tests: int) -> PairedDifference:
    passes = sequential_result(unit_differences(cases[0], cases[1]), difference.margin, ALPHA / tests)
    graded = sequential_result(unit_differences(cases[0], cases[1], graded=True), difference.margin, ALPHA / tests)
    values = structs.replace(
        difference,
        difference=passes.mean,
        low=passes.low,
        high=passes.high,
        p=passes.p,
        graded=graded.mean,
        graded_low=graded.low,
        graded_high=graded.high,
        graded_p=graded.p,
    )
    judged = with_verdict(values, min(1.0, passes.p * tests))
    return structs.replace(judged, verdict="invalid") if difference.verdict == "invalid" else judged
