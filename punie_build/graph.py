"""Graph: recipe -> tasks. Pure: no file is opened here.

A task is a promise: run its step and its target exists, made from its inputs and its config alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from punie_build import layout
from punie_build.adapters import Adapter, Base
from punie_build.recipe import ARMS, DATA, Described, Eval, Recipe
from punie_build.sources import Local


class Task(Struct, frozen=True, kw_only=True):
    """`needs` are labels of tasks; `inputs` are paths in the project that the step reads; `base` the model it starts from."""

    kind: str
    name: str
    doc: str
    target: str
    spec: Any
    config: dict[str, Any]
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    base: Base | None = None

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}"


def tasks(recipe: Recipe) -> Iterator[Task]:
    """Every artifact of a project, each after what it needs. Built-in data is built where something needs it."""
    seen: set[str] = set()
    for described in recipe.artifacts.values():
        if described.kind in layout.FOLDERS and not described.embedded:
            yield from _with_needs(recipe, described, seen)


def _with_needs(recipe: Recipe, described: Described, seen: set[str]) -> Iterator[Task]:
    """What an artifact needs that was not seen yet, then the artifact."""
    label = f"{described.kind}:{described.name}"
    if label in seen:
        return
    seen.add(label)
    for _, kinds, name in described.references():
        other = recipe.find(kinds, name)
        if other.kind in layout.FOLDERS:
            yield from _with_needs(recipe, other, seen)
    if described.kind == "comparison":
        evals = [eval_of(recipe, described.spec, arm) for arm in described.spec.arms]
        for each in evals:
            yield from _with_needs(recipe, each, seen)
        yield _comparison(recipe, described, evals)
    else:
        yield {"eval": _eval, "adapter": _adapter}.get(described.kind, _data)(recipe, described)


def _config(described: Described) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(described.spec)
    config.pop("description", None)
    return config


def _task(described: Described, doc: str, **more: Any) -> Task:
    config = _config(described) | more.pop("config", {})
    return Task(
        kind=described.kind,
        name=described.name,
        doc=described.spec.description or doc,
        target=layout.target(described.kind, described.name),
        spec=described.spec,
        config=config,
        **more,
    )


def _label(recipe: Recipe, name: str, kinds: tuple[str, ...] = DATA) -> str:
    return f"{recipe.find(kinds, name).kind}:{name}"


def _data(recipe: Recipe, described: Described) -> Task:
    spec = described.spec
    names = [name for _, _, name in described.references()]
    inputs = tuple(layout.target("dataset", name) for name in names)
    if described.kind == "dataset":
        kind = msgspec.to_builtins(spec.source)["type"]
        doc, inputs = (
            f"examples from {spec.source.path if isinstance(spec.source, Local) else kind}",
            spec.source.inputs(),
        )
    elif described.kind == "stage":
        doc = f"{spec.from_} sifted by {', '.join(f['type'] for f in msgspec.to_builtins(spec.filters))}"
    else:
        doc = f"{' + '.join(names)}, split without leakage"
    return _task(described, doc, needs=tuple(_label(recipe, name) for name in names), inputs=inputs)


def _adapter(recipe: Recipe, described: Described) -> Task:
    spec: Adapter = described.spec
    doc = f"LoRA of {spec.base} on {spec.data}, rank {spec.lora.rank}, {spec.iters} iterations"
    return _task(
        described,
        doc,
        needs=(_label(recipe, spec.data),),
        inputs=(layout.target("dataset", spec.data),),
        base=recipe.find(("base",), spec.base).spec,
    )


def eval_of(recipe: Recipe, spec: Any, arm: str) -> Described:
    """The eval of one arm of a comparison: one the recipe names, if it asks the same, else `arm@suite`."""
    wanted = Eval(arm=arm, suite=spec.suite, max_tokens=spec.max_tokens, concurrency=spec.concurrency)
    for described in recipe.of("eval"):
        if msgspec.structs.replace(described.spec, description="") == wanted:
            return described
    return Described("eval", f"{arm}@{spec.suite}", wanted, "")


def _eval(recipe: Recipe, described: Described) -> Task:
    spec: Eval = described.spec
    arm = recipe.find(ARMS, spec.arm)
    trained = arm.kind == "adapter"
    base = recipe.find(("base",), arm.spec.base).spec if trained else arm.spec
    return _task(
        described,
        f"{spec.arm} answers the suite {spec.suite}",
        needs=(f"adapter:{spec.arm}",) if trained else (),
        inputs=(layout.target("adapter", spec.arm),) if trained else (),
        base=base,
        config={"cases": recipe.suite_digest(spec.suite)},
    )


def _comparison(recipe: Recipe, described: Described, evals: list[Described]) -> Task:
    lineage = [label for arm in described.spec.arms for label in _lineage(recipe, arm)]
    needs = dict.fromkeys([*lineage, *(f"eval:{each.name}" for each in evals)])
    inputs = [layout.target(*label.split(":", 1)) for label in needs]
    doc = f"{' against '.join(reversed(described.spec.arms))} on {described.spec.suite}"
    return _task(
        described, doc, needs=tuple(needs), inputs=tuple(inputs), config={"evals": [each.name for each in evals]}
    )


def _lineage(recipe: Recipe, arm: str) -> Iterator[str]:
    """The adapter of an arm and all data it was made from, sources first: what the report's funnel and curves show."""

    def data(described: Described) -> Iterator[str]:
        for _, _, name in described.references():
            yield from data(recipe.find(DATA, name))
        yield f"{described.kind}:{described.name}"

    described = recipe.find(ARMS, arm)
    if described.kind == "adapter":
        yield from data(recipe.find(DATA, described.spec.data))
        yield f"adapter:{arm}"
