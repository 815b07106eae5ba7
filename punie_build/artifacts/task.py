"""Task: a promise. Run its step and its target exists, made from its inputs and its config alone."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from punie_build.data.example import SPLITS
from punie_build.models.spec import Base
from punie_build.recipes.recipe import BASES, DATA, Described, Recipe
from punie_build.storage import paths
from punie_build.sweeps.grid import NOT_IN_KEY

ROWS = tuple(f"{split}.jsonl" for split in SPLITS)


class Task(Struct, frozen=True, kw_only=True):
    """`needs` are labels of tasks; `inputs` are paths in the project that the step reads, and `reads` the files it reads in
    them, if not all: other counts in a dataset's stats.json must not retrain an adapter. `remembers` is the input that the step
    itself extends, for the next time. `temporary`: its files are removed when all that reads them is built; `gone` are the inputs
    of which that is so. `base` is the model it starts from, an input where it is made here, `draft` one that guesses for it, `file` the recipe that asks for it. `uses` is what the step
    holds besides the spec: the code of the kinds in it, such as checks, is the step's."""

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
    temporary: bool = False
    gone: tuple[str, ...] = ()
    base: Base | None = None
    draft: Base | None = None
    uses: tuple[Any, ...] = ()
    file: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}"

    def reads_in(self, place: str) -> tuple[str, ...]:
        """The files it reads in an input; () for all, as in a base that is made here."""
        return () if self.base and place == self.base.path else self.reads


def config_of(described: Described) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(described.spec)
    for remark in NOT_IN_KEY:
        config.pop(remark, None)
    return config


Start = tuple[Base, list[Described]]


def task(described: Described, doc: str, on: Start | None = None, **more: Any) -> Task:
    """The task of an artifact; `on`: what it starts from, as `start` gives it."""
    config = config_of(described) | more.pop("config", {})
    base, first = on or (None, [])
    needs = more.pop("needs", ()) + tuple(each.label for each in first)
    inputs = more.pop("inputs", ()) + tuple(paths.target(each.kind, each.name) for each in first)
    return Task(
        kind=described.kind,
        name=described.name,
        doc=described.spec.description or doc,
        target=paths.target(described.kind, described.name),
        file=described.file,
        spec=described.spec,
        config=config,
        base=base,
        needs=needs,
        inputs=inputs,
        temporary=getattr(described.spec, "temporary", False),
        **more,
    )


def label(recipe: Recipe, name: str, kinds: tuple[str, ...] = DATA) -> str:
    return f"{recipe.find(kinds, name).kind}:{name}"


def start(recipe: Recipe, name: str) -> Start:
    """A base of this name; or a model, as a base that is made here and must be there first."""
    found = recipe.find(BASES, name)
    if found.kind == "base":
        return found.spec, []
    return Base(path=paths.target(found.kind, name)), [found]
