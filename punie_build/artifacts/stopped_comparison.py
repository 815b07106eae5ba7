"""The comparison that stops when it is decided: it asks both arms itself, with the requests of their own answers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from punie_build.artifacts.answers import answers_of, eval_of_generation
from punie_build.artifacts.arms import has_unknown_data, model_of, suite_of, training_data
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs, task_of
from punie_build.evaluation.arm_spec import RecordedAnswers
from punie_build.evaluation.spec import StoppedComparison
from punie_build.models.environment import mlx_environment
from punie_build.schema.spec import digest

KEYS = ("@first", "@second")


class StoppedDetails(Struct, frozen=True, omit_defaults=True):
    """How each arm is asked, the folders of the data that they were trained on, the digest of the suite, and the arms
    whose training data are unknown."""

    asked: tuple[Any, ...]
    learnt: tuple[str, ...]
    cases: str
    unknown_data: tuple[str, ...] = ()


def _inputs(recipe: Recipe, entry: Entry[StoppedComparison]) -> TaskInputs:
    spec = entry.spec
    tasks, needs = [], list[Entry[Any]]()
    for arm in spec.arms:
        generation = spec.generation_spec(arm)
        expected = eval_of_generation(generation)
        answers = answers_of(recipe, Entry(entry.kind, generation.name, expected, entry.file, table=entry.origin))
        assert answers.kind.inputs is not None, "answers are built"
        inputs = answers.kind.inputs(recipe, answers)
        tasks.append(task_of(answers, inputs))
        needs += inputs.needs
    data = [item for arm in spec.arms for item in training_data(recipe, arm)]
    suite = suite_of(recipe, spec.suite)
    own = [path for task in tasks for path in task.inputs]
    reads = dict.fromkeys(file for task in tasks for file in task.reads)
    return TaskInputs(
        doc=f"{' and '.join(spec.arms[1:])} against {spec.arms[0]} on {spec.suite}, until it is decided",
        needs=tuple({need.label: need for need in (*needs, *data)}.values()),
        inputs=tuple(dict.fromkeys((*own, *(item.target for item in data)))),
        reads=(*reads, "train.jsonl", "valid.jsonl") if reads else (),
        external={
            f"{key[1:]}.{name}": base
            for key, task in zip(KEYS, tasks, strict=True)
            for name, base in task.external.items()
        },
        details=StoppedDetails(
            asked=tuple(task.details for task in tasks),
            learnt=tuple(dict.fromkeys(item.target for item in data)),
            cases=digest(suite),
            unknown_data=tuple(arm for arm in spec.arms if has_unknown_data(recipe, arm)),
        ),
        uses={spec.suite: suite, **dict(zip(KEYS, tasks, strict=True))},
    )


def _mistakes(comparison: ArtifactKind, root: Path, recipe: Recipe, entry: Entry[StoppedComparison]) -> Iterator[str]:
    check = comparison.cross_check
    if callable(check):
        yield from check(root, recipe, entry)
    for arm in entry.spec.arms:
        if isinstance(model_of(recipe, arm).spec, RecordedAnswers):
            yield f"{entry.where}.stop: the answers of {arm} exist, no question is saved - remove it"


def stopped_kind(comparison: ArtifactKind) -> ArtifactKind:
    """Return the variant of a comparison that a table with the key `stop` describes."""
    return structs.replace(
        comparison,
        spec=StoppedComparison,
        variants={},
        inputs=_inputs,
        cross_check=partial(_mistakes, comparison),  # a step in a worker is sent with its kind, by pickle
        step="punie_build.evaluation.stopped_comparison:stopped_comparison",
        in_worker=False,
        environment=mlx_environment,
        metrics=comparison.metrics | {"asked"},
        measured="",
        page="punie_build.reports.pages.evaluation:STOPPED_PAGE",
    )
