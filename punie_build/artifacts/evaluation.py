"""Kinds of evaluation: the answers of one model to a suite, their scores, and models side by side.

The answers are asked once, whatever the checks are; an eval scores them; a comparison reads evals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from punie_build.artifacts.answers import RUN_FIELDS, answers_of, eval_of_generation
from punie_build.artifacts.arms import eval_mistakes, has_unknown_data, suite_of, trained_arguments, training_data
from punie_build.artifacts.stopped_comparison import stopped_kind
from punie_build.data.sources import ACCEPTED
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind, GridRules
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.requirements import Requirements
from punie_build.evaluation.spec import (
    COSTS,
    EXECUTION_FIELDS,
    MAX_EPOCHS,
    TRAINED_FILES,
    Comparison,
    Eval,
    GenerationSpec,
    SuiteFile,
)
from punie_build.runtime.console import format_points
from punie_build.schema.spec import digest


class EvalDetails(Struct, frozen=True, omit_defaults=True):
    """The digest of the suite, the arguments of the chat template that the arm was trained with, and the arm if its
    training data are unknown."""

    cases: str
    chat_template_args: dict[str, Any] = {}
    unknown_data: tuple[str, ...] = ()


class ComparisonDetails(Struct, frozen=True, omit_defaults=True):
    """The names of the evals and answers of the arms, the folders of the data they were trained on, the digest of the
    suite, and the arms whose training data are unknown."""

    evals: tuple[str, ...]
    answers: tuple[str, ...]
    learnt: tuple[str, ...]
    cases: str
    unknown_data: tuple[str, ...] = ()


def eval_of(recipe: Recipe, comparison: Entry[Comparison], arm: str) -> Entry[Eval]:
    """Return the eval of one arm of a comparison: one that a recipe describes, if it asks the same, else
    `arm@suite`."""
    generation: GenerationSpec = comparison.spec.generation_spec(arm)
    expected = eval_of_generation(generation)
    patience = {name: getattr(generation, name) for name in EXECUTION_FIELDS}
    for entry in recipe.of_kind("eval"):
        if structs.replace(entry.spec, description="", gates=(), require=Requirements(), **patience) == expected:
            return entry
    return Entry(EVAL, generation.name, expected, comparison.file, table=comparison.origin)


def _eval_inputs(recipe: Recipe, entry: Entry[Eval]) -> TaskInputs:
    spec, answers = entry.spec, answers_of(recipe, entry)
    data = tuple(training_data(recipe, spec.arm))
    suite = suite_of(recipe, spec.suite, spec.arm)
    return TaskInputs(
        doc=f"the answers of {spec.arm} to {spec.suite}, scored",
        needs=(answers, *data),
        inputs=tuple(need.target for need in (answers, *data)),
        reads=("answers.jsonl", "proof.json", "train.jsonl"),
        details=EvalDetails(
            cases=digest(suite),
            chat_template_args=trained_arguments(recipe, spec.arm),
            unknown_data=(spec.arm,) if has_unknown_data(recipe, spec.arm) else (),
        ),
        uses={spec.suite: suite},
    )


def _comparison_inputs(recipe: Recipe, entry: Entry[Comparison]) -> TaskInputs:
    spec = entry.spec
    evals = [eval_of(recipe, entry, arm) for arm in spec.arms]
    data = [item for arm in spec.arms for item in training_data(recipe, arm)]
    suite = suite_of(recipe, spec.suite)
    return TaskInputs(
        doc=f"{' and '.join(spec.arms[1:])} against {spec.arms[0]} on {spec.suite}",
        needs=(*evals, *data),
        inputs=tuple(dict.fromkeys(need.target for need in (*evals, *data))),
        reads=("scores.json", *TRAINED_FILES),
        details=ComparisonDetails(
            evals=tuple(item.name for item in evals),
            answers=tuple(answers_of(recipe, item).name for item in evals),
            learnt=tuple(dict.fromkeys(item.target for item in data)),
            cases=digest(suite),
            unknown_data=tuple(arm for arm in spec.arms if has_unknown_data(recipe, arm)),
        ),
        uses={spec.suite: suite},
    )


def _comparison_summary(metrics: dict[str, float]) -> str:
    arms = [name.removesuffix(".difference") for name in metrics if name.endswith(".difference")]
    return "; ".join(
        f"{arm} {format_points(metrics[f'{arm}.difference'])} "
        f"({format_points(metrics[f'{arm}.low'], metrics[f'{arm}.high'])})"
        for arm in arms
        if arm != "chosen"  # one of the others once more, for gates
    )


def _eval_summary(metrics: dict[str, float]) -> str:
    return f"{metrics['passed']:.0f} of {metrics['cases']:.0f} cases passed" if "passed" in metrics else ""


def gate_mistakes(entry: Entry[Any]) -> Iterator[str]:
    """Yield the gates of an eval or a comparison on metrics that its settings do not give."""
    for gate in entry.spec.gates:
        name = gate.metric.rpartition(".")[2]
        if name in COSTS and not entry.spec.measure:
            yield f"{entry.where}.gates: '{gate.metric}' is not measured - set `measure = true`"
        elif name in ATTEMPTS and int(name[5:]) > entry.spec.epochs:
            yield f"{entry.where}.gates: '{gate.metric}' needs {name[5:]} answers to a case - raise `epochs`"


def _eval_mistakes(_root: Path, recipe: Recipe, entry: Entry[Eval]) -> Iterator[str]:
    yield from gate_mistakes(entry)
    yield from eval_mistakes(recipe, entry)


def _comparison_mistakes(_root: Path, _recipe: Recipe, entry: Entry[Comparison]) -> Iterator[str]:
    return gate_mistakes(entry)


SUITE = ArtifactKind(
    name="suite",
    plural="Suites",
    spec=SuiteFile,
    namespace="suite",
    content="punie_build.evaluation.suite_file:read_suite",
)
ATTEMPTS = tuple(f"pass{mark}{k}" for mark in "@^" for k in range(2, MAX_EPOCHS + 1))
RATES = (
    *COSTS,
    *ATTEMPTS,
    "cases",
    "error_rate",
    "irrelevant_calls",
    "parse_rate",
    "score",
    "share",
    "sound",
    "truncated",
    "valid",
)
NOTES = ("unknown_training_data", "unproven_identity")
DIFFERENCES = ("alike", "difference", "equivalent", "graded", "high", "improved", "low", "p", "worst")


def _measured_scores(folder: Path) -> dict[str, float]:
    from punie_build.evaluation.scores import read_scores
    from punie_build.evaluation.scoring import eval_metrics

    scores: Any = read_scores(folder)  # its cases have the categories of the suite
    metrics = eval_metrics(scores, scores.cases, sound=True)
    del metrics["sound"]  # which the suite alone tells
    return metrics


def _measured_comparison(folder: Path) -> dict[str, float]:
    import msgspec

    from punie_build.evaluation.comparison import ComparisonResult, comparison_metrics

    return comparison_metrics(msgspec.json.decode((folder / "comparison.json").read_bytes(), type=ComparisonResult))


EVAL = ArtifactKind(
    name="eval",
    plural="Evals",
    spec=Eval,
    references={"arm": "arm", "suite": "suite", "serving.draft": "base"},
    namespace="report",
    folder="reports",
    grid=GridRules(
        fixed=dict.fromkeys(("arm", "suite"), "an eval runs one suite on one arm - describe a comparison of arms"),
        ranked_by=("scores.json",),
    ),
    cross_check=_eval_mistakes,
    inputs=_eval_inputs,
    step="punie_build.evaluation.steps:eval_",
    in_worker=True,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS, "require"),
    metrics=frozenset((*RATES, "errors", "parse_failures", "passed", *NOTES)),
    outputs={
        "scores.json": "punie_build.evaluation.scores:Scores",
        ACCEPTED: "punie_build.data.example:Example",
    },
    verify="punie_build.evaluation.verify:scores",
    measured=_measured_scores,
    page="punie_build.reports.pages.evaluation:EVAL_PAGE",
    summary=_eval_summary,
)
_FULL_COMPARISON = ArtifactKind(
    name="comparison",
    plural="Comparisons",
    spec=Comparison,
    references={"arms": "arm", "suite": "suite", "serving.draft": "base"},
    namespace="report",
    folder="reports",
    cross_check=_comparison_mistakes,
    inputs=_comparison_inputs,
    step="punie_build.evaluation.steps:comparison",
    in_worker=True,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS, "require"),
    metrics=frozenset((*RATES, *DIFFERENCES, "leaks", *NOTES)),
    outputs={"comparison.json": "punie_build.evaluation.comparison:ComparisonResult"},
    measured=_measured_comparison,
    page="punie_build.reports.pages.evaluation:COMPARISON_PAGE",
    summary=_comparison_summary,
)
COMPARISON = structs.replace(_FULL_COMPARISON, variants={"stop": stopped_kind(_FULL_COMPARISON)})
