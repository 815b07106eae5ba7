"""Evals in the graph: what one arm answers, how that is judged, and arms side by side.

answers   what an arm said to a suite: asked once, whatever the checks are
eval      those answers, judged
comparison
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from punie_build.artifacts.task import Task, start, task
from punie_build.evaluation.conversation import measures_latency
from punie_build.evaluation.requirements import Requirements
from punie_build.evaluation.spec import (
    EXECUTION_FIELDS,
    GENERATION_FIELDS,
    Comparison,
    Eval,
    GenerationSpec,
    generation_spec,
)
from punie_build.recipes.recipe import ADAPTERS, ARMS, DATA, Described, Recipe
from punie_build.storage import paths

LEARNT = ("train.jsonl", "valid.jsonl")  # the files of a dataset whose rows an arm may know
TRAINED = ("adapters.safetensors", "adapter_config.json")  # the files of an adapter that decide what it says


def answers_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The arm, and its base, where they are made."""
    arm = recipe.find(ARMS, described.spec.arm)
    if arm.kind in ADAPTERS:
        return [arm, *start(recipe, arm.spec.base)[1]]
    return start(recipe, arm.name)[1]


def eval_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The answers it judges, and the data that its arm was trained on."""
    return [answers_of(described), *_learnt(recipe, described.spec.arm)]


def comparison_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The evals of its arms. All that the arms are made from comes with them."""
    return _evals(recipe, described)


def answers_of(described: Described) -> Described:
    """The answers an eval judges; evals that ask the same share them."""
    spec = generation_spec(described.spec)
    return Described("answers", spec.name, spec, described.file)


def _evals(recipe: Recipe, comparison: Described) -> list[Described]:
    return [eval_of(recipe, comparison, arm) for arm in comparison.spec.arms]


def eval_of(recipe: Recipe, comparison: Described, arm: str) -> Described:
    """The eval of one arm of a comparison: one the recipe names, if it asks the same, else `arm@suite`."""
    asked: GenerationSpec = comparison.spec.asks(arm)
    wanted = Eval(arm=arm, **{name: getattr(asked, name) for name in GENERATION_FIELDS})
    patience = {name: getattr(asked, name) for name in EXECUTION_FIELDS}
    for described in recipe.of("eval"):
        if (
            msgspec.structs.replace(described.spec, description="", gates=(), require=Requirements(), **patience)
            == wanted
        ):
            return described
    return Described("eval", asked.name, wanted, comparison.file)


def answers(recipe: Recipe, described: Described) -> Task:
    spec: GenerationSpec = described.spec
    arm = recipe.find(ARMS, spec.arm)
    trained = arm.kind in ADAPTERS
    return task(
        described,
        f"{spec.arm} answers the suite {spec.suite}",
        needs=(arm.label,) if trained else (),
        inputs=(paths.target(arm.kind, arm.name),) if trained else (),
        reads=TRAINED if trained else (),
        on=start(recipe, arm.spec.base if trained else spec.arm),
        draft=recipe.find(("base",), spec.serving.draft).spec if spec.serving.draft else None,
        config={"asked": recipe.asked_digest(spec.suite)}
        | ({"timed": True} if measures_latency(recipe.suites[spec.suite]) else {}),
    )


def eval_(recipe: Recipe, described: Described) -> Task:
    spec: Eval = described.spec
    given, data = answers_of(described), list(_learnt(recipe, spec.arm))
    return task(
        described,
        f"the answers of {spec.arm} to {spec.suite}, judged",
        needs=(given.label, *(each.label for each in data)),
        inputs=(paths.target("answers", given.name), *(paths.target(each.kind, each.name) for each in data)),
        reads=("answers.jsonl", "proof.json", "train.jsonl"),
        config={"cases": recipe.suite_digest(spec.suite)},
        uses=(recipe.suites[spec.suite],),
    )


def comparison(recipe: Recipe, described: Described) -> Task:
    spec: Comparison = described.spec
    evals = _evals(recipe, described)
    given = [answers_of(each) for each in evals]
    learnt = [each for arm in spec.arms for each in _learnt(recipe, arm)]
    doc = f"{' against '.join(reversed(spec.arms))} on {spec.suite}"
    return task(
        described,
        doc,
        needs=tuple(dict.fromkeys(each.label for each in [*evals, *learnt])),
        inputs=tuple(dict.fromkeys(paths.target(each.kind, each.name) for each in [*evals, *learnt])),
        reads=("scores.json", *LEARNT),
        config={
            "evals": [each.name for each in evals],
            "answers": [each.name for each in given],
            "learnt": list(dict.fromkeys(paths.target(each.kind, each.name) for each in learnt)),
            "cases": recipe.suite_digest(spec.suite),
        },
        uses=(recipe.suites[spec.suite],),
    )


def _learnt(recipe: Recipe, arm: str) -> Iterator[Described]:
    """The data that an arm was trained and chosen by."""
    described = recipe.find(ARMS, arm)
    if described.kind == "model" and described.spec.adapter:
        yield from _learnt(recipe, described.spec.adapter)
    if described.kind in ADAPTERS:
        yield recipe.find(DATA, described.spec.data)
