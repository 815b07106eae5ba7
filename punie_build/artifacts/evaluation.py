"""Kinds of evaluation: the answers of one model to a suite, their scores, and models side by side.

The answers are asked once, whatever the checks are; an eval scores them; a comparison reads evals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from punie_build.artifacts.base import start, trainings
from punie_build.data.sources import ACCEPTED
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind, GridRules
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.requirements import Requirements
from punie_build.evaluation.spec import (
    EXECUTION_FIELDS,
    GENERATION_FIELDS,
    TRAINED_FILES,
    Comparison,
    Eval,
    GenerationSpec,
    SuiteFile,
    generation_spec,
)
from punie_build.models.environment import mlx_environment
from punie_build.runtime.console import format_points
from punie_build.schema.spec import digest

if TYPE_CHECKING:
    from punie_build.evaluation.suite import Suite

ADAPTER_FILES = ("adapters.safetensors", "adapter_config.json")  # the files of an adapter that decide its answers
RUN_FIELDS = ("concurrency", "timeout")  # how a suite is asked, without effect on an answer


class AnswersDetails(Struct, frozen=True, omit_defaults=True):
    """`asked` changes when a question of the suite does; `timed`: the suite checks latencies, so they are in the
    answers. `chat_template_args` are those of the adapter, for an eval without its own."""

    asked: str
    timed: bool = False
    chat_template_args: dict[str, Any] = {}


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


def questions_digest(suite: Suite) -> str:
    """Return a digest that changes when anything that a suite asks does, not when it scores in another way."""
    return digest([[case.id, suite.model_input(case)] for case in suite.cases])


def suite_of(recipe: Recipe, name: str) -> Suite:
    """Return the cases of a suite."""
    suite: Suite = recipe.content(recipe.resolve("suite", name))
    return suite


def answers_of(entry: Entry[Eval]) -> Entry[GenerationSpec]:
    """Return the answers that an eval scores; evals that ask the same share them."""
    spec = generation_spec(entry.spec)
    return Entry(ANSWERS, spec.name, spec, entry.file, table=entry.origin)


def eval_of(recipe: Recipe, comparison: Entry[Comparison], arm: str) -> Entry[Eval]:
    """Return the eval of one arm of a comparison: one that a recipe describes, if it asks the same, else
    `arm@suite`."""
    generation: GenerationSpec = comparison.spec.generation_spec(arm)
    expected = Eval(arm=arm, **{name: getattr(generation, name) for name in GENERATION_FIELDS})
    patience = {name: getattr(generation, name) for name in EXECUTION_FIELDS}
    for entry in recipe.of_kind("eval"):
        if structs.replace(entry.spec, description="", gates=(), require=Requirements(), **patience) == expected:
            return entry
    return Entry(EVAL, generation.name, expected, comparison.file, table=comparison.origin)


def training_data(recipe: Recipe, arm: str) -> Iterator[Entry[Any]]:
    """Yield the data that an arm was trained and selected on."""
    entry = recipe.resolve("arm", arm)
    if adapter := getattr(entry.spec, "adapter", None):
        yield from training_data(recipe, adapter)
    if "trained" in entry.kind.roles:
        names = (getattr(part.spec, "data", None) for part in trainings(recipe, entry))
        yield from (recipe.resolve("data", name) for name in dict.fromkeys(names) if name)


def has_unknown_data(recipe: Recipe, arm: str) -> bool:
    """Return whether an arm was trained elsewhere, on rows that are not known here."""
    entry = recipe.resolve("arm", arm)
    if adapter := getattr(entry.spec, "adapter", None):
        return has_unknown_data(recipe, adapter)
    return "trained" in entry.kind.roles and any(not hasattr(part.spec, "data") for part in trainings(recipe, entry))


def trained_arguments(recipe: Recipe, arm: str) -> dict[str, Any]:
    """Return the arguments of the chat template that an arm was trained with; none for a base."""
    entry = recipe.resolve("arm", arm)
    if adapter := getattr(entry.spec, "adapter", None):
        return trained_arguments(recipe, adapter)
    return entry.spec.chat_template_args if "trained" in entry.kind.roles else {}


def _answers_inputs(recipe: Recipe, entry: Entry[GenerationSpec]) -> TaskInputs:
    from punie_build.evaluation.suite import measures_latency

    spec = entry.spec
    arm = recipe.resolve("arm", spec.arm)
    adapter = (arm,) if "trained" in arm.kind.roles else ()
    base, first = start(recipe, arm.spec.base if adapter else spec.arm)
    draft = {"draft": recipe.resolve("base", spec.serving.draft).spec} if spec.serving.draft else {}
    suite = suite_of(recipe, spec.suite)
    return TaskInputs(
        doc=f"{spec.arm} answers the suite {spec.suite}",
        needs=(*adapter, *first),
        inputs=tuple(need.target for need in (*adapter, *first)),
        reads=ADAPTER_FILES if adapter else (),
        external={"base": base, **draft},
        details=AnswersDetails(
            asked=questions_digest(suite),
            timed=measures_latency(suite),
            chat_template_args={} if spec.serving.chat_template_args else trained_arguments(recipe, spec.arm),
        ),
        uses={spec.suite: suite},
    )


def _eval_inputs(recipe: Recipe, entry: Entry[Eval]) -> TaskInputs:
    spec, answers = entry.spec, answers_of(entry)
    data = tuple(training_data(recipe, spec.arm))
    suite = suite_of(recipe, spec.suite)
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
        doc=f"{' against '.join(reversed(spec.arms))} on {spec.suite}",
        needs=(*evals, *data),
        inputs=tuple(dict.fromkeys(need.target for need in (*evals, *data))),
        reads=("scores.json", *TRAINED_FILES),
        details=ComparisonDetails(
            evals=tuple(item.name for item in evals),
            answers=tuple(answers_of(item).name for item in evals),
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


SUITE = ArtifactKind(
    name="suite",
    plural="Suites",
    spec=SuiteFile,
    namespace="suite",
    content="punie_build.evaluation.suite_file:read_suite",
)
ANSWERS = ArtifactKind(
    name="answers",
    plural="Answers",
    references={"arm": "arm", "suite": "suite", "serving.draft": "base"},
    folder="reports",
    suffix="@answers",
    inputs=_answers_inputs,
    step="punie_build.evaluation.steps:answers",
    version=1,
    environment=mlx_environment,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS),
    outputs={
        "answers.jsonl": "punie_build.evaluation.checks.response:Answer",
        "proof.json": "punie_build.evaluation.answer_files:Proof",
    },
    verify="punie_build.evaluation.verify:answers",
    page="punie_build.reports.pages.answers:ANSWERS_PAGE",
    summary=(("answers", "{:.0f} answers"),),
)
RATES = ("cases", "error_rate", "irrelevant_calls", "parse_rate", "score", "share", "sound", "truncated", "valid")
DIFFERENCES = ("alike", "difference", "equivalent", "graded", "high", "improved", "low", "p", "worst")
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
    inputs=_eval_inputs,
    step="punie_build.evaluation.steps:eval_",
    in_worker=True,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS, "require"),
    metrics=frozenset((*RATES, "errors", "parse_failures", "passed", "unknown_training_data")),
    outputs={
        "scores.json": "punie_build.evaluation.scores:Scores",
        ACCEPTED: "punie_build.data.example:Example",
    },
    verify="punie_build.evaluation.verify:scores",
    page="punie_build.reports.pages.evaluation:EVAL_PAGE",
    summary=_eval_summary,
)
COMPARISON = ArtifactKind(
    name="comparison",
    plural="Comparisons",
    spec=Comparison,
    references={"arms": "arm", "suite": "suite", "serving.draft": "base"},
    namespace="report",
    folder="reports",
    inputs=_comparison_inputs,
    step="punie_build.evaluation.steps:comparison",
    in_worker=True,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS, "require"),
    metrics=frozenset((*RATES, *DIFFERENCES, "leaks", "unknown_training_data")),
    outputs={"comparison.json": "punie_build.evaluation.comparison:ComparisonResult"},
    page="punie_build.reports.pages.evaluation:COMPARISON_PAGE",
    summary=_comparison_summary,
)
