"""Evals in the graph: what one arm answers, and arms side by side."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from punie_build import layout
from punie_build.evals import Eval
from punie_build.graph.task import Task, task
from punie_build.recipe import ADAPTERS, ARMS, DATA, Described, Recipe


def eval_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The arm, where it is made."""
    arm = recipe.find(ARMS, described.spec.arm)
    return [arm] if arm.kind in layout.FOLDERS else []


def comparison_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The evals of its arms. All that the arms are made from comes with them."""
    return _evals(recipe, described)


def _evals(recipe: Recipe, comparison: Described) -> list[Described]:
    return [eval_of(recipe, comparison, arm) for arm in comparison.spec.arms]


def eval_of(recipe: Recipe, comparison: Described, arm: str) -> Described:
    """The eval of one arm of a comparison: one the recipe names, if it asks the same, else `arm@suite`."""
    spec = comparison.spec
    wanted = Eval(arm=arm, suite=spec.suite, max_tokens=spec.max_tokens, concurrency=spec.concurrency)
    for described in recipe.of("eval"):
        if msgspec.structs.replace(described.spec, description="", gates=()) == wanted:
            return described
    return Described("eval", f"{arm}@{spec.suite}", wanted, comparison.file)


def eval_(recipe: Recipe, described: Described) -> Task:
    spec: Eval = described.spec
    arm = recipe.find(ARMS, spec.arm)
    made, trained = arm.kind in layout.FOLDERS, arm.kind in ADAPTERS
    base = recipe.find(("base",), arm.spec.base).spec if trained else None if made else arm.spec
    return task(
        described,
        f"{spec.arm} answers the suite {spec.suite}",
        needs=(arm.label,) if made else (),
        inputs=(layout.target(arm.kind, spec.arm),) if made else (),
        reads=("adapters.safetensors", "adapter_config.json") if trained else (),
        base=base,
        config={"cases": recipe.suite_digest(spec.suite)},
    )


def comparison(recipe: Recipe, described: Described) -> Task:
    evals = _evals(recipe, described)
    lineage = [label for arm in described.spec.arms for label in _lineage(recipe, arm)]
    needs = dict.fromkeys([*lineage, *(f"eval:{each.name}" for each in evals)])
    inputs = [layout.target(*label.split(":", 1)) for label in needs]
    doc = f"{' against '.join(reversed(described.spec.arms))} on {described.spec.suite}"
    return task(
        described,
        doc,
        needs=tuple(needs),
        inputs=tuple(inputs),
        reads=("stats.json", "metrics.jsonl", "answers.jsonl", "scores.json"),
        config={"evals": [each.name for each in evals]},
    )


def _lineage(recipe: Recipe, arm: str) -> Iterator[str]:
    """The adapter of an arm and all data it was made from, sources first: what the report's funnel and curves show."""
    described = recipe.find(ARMS, arm)
    if described.kind == "model" and described.spec.adapter:
        yield from _lineage(recipe, described.spec.adapter)
    if described.kind in ADAPTERS:
        waiting, found = [recipe.find(DATA, described.spec.data)], list[str]()
        while waiting:
            data = waiting.pop()
            found.append(data.label)
            waiting += [recipe.find(DATA, name) for _, kinds, name in data.references() if kinds == DATA]
        yield from dict.fromkeys(reversed(found))
        yield described.label
