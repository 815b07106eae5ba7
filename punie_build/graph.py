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
from punie_build.examples import SPLITS
from punie_build.recipe import ARMS, DATA, SUITES, Described, Eval, Recipe

ROWS = tuple(f"{split}.jsonl" for split in SPLITS)
REMARKS = ("description", "gates")  # what a recipe says of an artifact without changing it


class Task(Struct, frozen=True, kw_only=True):
    """`needs` are labels of tasks; `inputs` are paths in the project that the step reads, and `reads` the files it reads in
    them, if not all: other counts in a dataset's stats.json must not retrain an adapter. `remembers` is the input that the step
    itself extends, for the next time. `base` is the model it starts from, `file` the recipe that asks for it."""

    kind: str
    name: str
    doc: str
    target: str
    spec: Any
    config: dict[str, Any]
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    remembers: str = ""
    base: Base | None = None
    file: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}"


def tasks(recipe: Recipe) -> Iterator[Task]:
    """Every artifact of a project, each after what it needs. Built-in data is built where something needs it."""
    done: set[str] = set()
    for wanted in recipe.artifacts.values():
        if wanted.kind in layout.FOLDERS and not wanted.embedded:
            waiting = [wanted]
            while waiting:  # not by recursion: a chain of stages may be long
                described = waiting[-1]
                missing = [need for need in _needs(recipe, described) if need.label not in done]
                if missing:
                    waiting += reversed(missing)
                    continue
                waiting.pop()
                if described.label not in done:
                    done.add(described.label)
                    yield _of(recipe, described)


def _needs(recipe: Recipe, described: Described) -> list[Described]:
    """The artifacts that must be there first."""
    others = [recipe.find(kinds, name) for _, kinds, name in described.references()]
    if described.kind == "comparison":
        others += _evals(recipe, described)
    return [other for other in others if other.kind in layout.FOLDERS]


def _evals(recipe: Recipe, comparison: Described) -> list[Described]:
    return [eval_of(recipe, comparison, arm) for arm in comparison.spec.arms]


def _of(recipe: Recipe, described: Described) -> Task:
    return {"comparison": _comparison, "eval": _eval, "adapter": _adapter}.get(described.kind, _data)(recipe, described)


def _config(described: Described) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(described.spec)
    for remark in REMARKS:
        config.pop(remark, None)
    return config


def _task(described: Described, doc: str, **more: Any) -> Task:
    config = _config(described) | more.pop("config", {})
    return Task(
        kind=described.kind,
        name=described.name,
        doc=described.spec.description or doc,
        target=layout.target(described.kind, described.name),
        file=described.file,
        spec=described.spec,
        config=config,
        **more,
    )


def _label(recipe: Recipe, name: str, kinds: tuple[str, ...] = DATA) -> str:
    return f"{recipe.find(kinds, name).kind}:{name}"


def _data(recipe: Recipe, described: Described) -> Task:
    spec = described.spec
    names = [name for _, kinds, name in described.references() if kinds == DATA]
    suites = sorted({name for _, kinds, name in described.references() if kinds == SUITES})
    inputs = tuple(layout.target("dataset", name) for name in names)
    if described.kind == "dataset":
        kind = msgspec.to_builtins(spec.source)["type"]
        doc, inputs = (
            f"examples from {_from(spec.source, kind)}",
            spec.source.inputs(),
        )
    elif described.kind == "stage":
        maps, filters = ([each["type"] for each in msgspec.to_builtins(some)] for some in (spec.maps, spec.filters))
        parts = ([f"rewritten by {', '.join(maps)}"] if maps else []) + (
            [f"sifted by {', '.join(filters)}"] if filters else []
        )
        doc = f"{spec.from_} {', '.join(parts)}"
    else:
        doc = f"{' + '.join(names)}, split without leakage"
    reads = ROWS if names else ()
    split = getattr(spec, "split", None)
    splits = layout.splits(layout.target("dataset", described.name)) if split and split.lock else ""
    based = {name for _, kinds, name in described.references() if kinds == ("base",)}
    return _task(
        described,
        doc,
        needs=tuple(_label(recipe, name) for name in names),
        inputs=inputs + ((splits,) if splits else ()),
        reads=reads,
        remembers=splits,
        base=recipe.find(("base",), based.pop()).spec if based else None,
        config={"cases": {name: recipe.suite_digest(name) for name in suites}} if suites else {},
    )


def _from(source: Any, kind: str) -> str:
    place = next((getattr(source, key) for key in ("path", "repo", "url") if hasattr(source, key)), None)
    return str(place or " ".join(getattr(source, "argv", ())) or kind)


def _adapter(recipe: Recipe, described: Described) -> Task:
    spec: Adapter = described.spec
    doc = f"LoRA of {spec.base} on {spec.data}, rank {spec.lora.rank}, {spec.iters} iterations"
    return _task(
        described,
        doc,
        needs=(_label(recipe, spec.data),),
        inputs=(layout.target("dataset", spec.data),),
        reads=("train.jsonl", "valid.jsonl"),
        base=recipe.find(("base",), spec.base).spec,
    )


def eval_of(recipe: Recipe, comparison: Described, arm: str) -> Described:
    """The eval of one arm of a comparison: one the recipe names, if it asks the same, else `arm@suite`."""
    spec = comparison.spec
    wanted = Eval(arm=arm, suite=spec.suite, max_tokens=spec.max_tokens, concurrency=spec.concurrency)
    for described in recipe.of("eval"):
        if msgspec.structs.replace(described.spec, description="", gates=()) == wanted:
            return described
    return Described("eval", f"{arm}@{spec.suite}", wanted, comparison.file)


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
        reads=("adapters.safetensors", "adapter_config.json") if trained else (),
        base=base,
        config={"cases": recipe.suite_digest(spec.suite)},
    )


def _comparison(recipe: Recipe, described: Described) -> Task:
    evals = _evals(recipe, described)
    lineage = [label for arm in described.spec.arms for label in _lineage(recipe, arm)]
    needs = dict.fromkeys([*lineage, *(f"eval:{each.name}" for each in evals)])
    inputs = [layout.target(*label.split(":", 1)) for label in needs]
    doc = f"{' against '.join(reversed(described.spec.arms))} on {described.spec.suite}"
    return _task(
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
    if described.kind == "adapter":
        waiting, found = [recipe.find(DATA, described.spec.data)], list[str]()
        while waiting:
            data = waiting.pop()
            found.append(data.label)
            waiting += [recipe.find(DATA, name) for _, kinds, name in data.references() if kinds == DATA]
        yield from dict.fromkeys(reversed(found))
        yield f"adapter:{arm}"
