"""Recipe: everything the recipe files of a project say, as frozen values.

    recipes/*.toml  ->  loading.load(root)  ->  Recipe  ->  graph.tasks(recipe)

One file may describe several artifacts. Names refer to one another across files, and are unique among what shares a
folder: datasets, stages and mixes; bases, adapters and models; evals and comparisons; suites.
To add a kind of artifact: a Spec, a row in `KINDS`, a function in `graph.py`, a step in `steps.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.evaluation.spec import Comparison, Eval, SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.export.spec import Model
from punie_build.models.spec import Base
from punie_build.schema.spec import Spec, digest
from punie_build.sweeps.search_spec import Search
from punie_build.training.spec import Adapter

HERE = Path(__file__).parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


KINDS: dict[str, type[Spec]] = {
    "base": Base,
    "dataset": Dataset,
    "stage": Stage,
    "mix": Mix,
    "adapter": Adapter,
    "model": Model,
    "search": Search,
    "suite": SuiteFile,
    "eval": Eval,
    "comparison": Comparison,
}
BASES = ("base", "model")
DATA, SUITES, REPORTS = ("dataset", "stage", "mix"), ("suite",), ("eval", "comparison")
ADAPTERS = ("adapter", "choice")
ARMS = ("base", *ADAPTERS, "model")
FAMILIES = (DATA, ARMS, SUITES, REPORTS, ("search",))
REFERS: dict[str, dict[str, tuple[str, ...]]] = {  # kind -> field -> what the names in that field may be
    "stage": {"from": DATA},
    "mix": {"from": DATA},
    "adapter": {"base": BASES, "data": DATA},
    "model": {"adapter": ADAPTERS, "base": ("base",)},
    "search": {"adapter": ("adapter",)},
    "tokens": {"base": BASES, "data": DATA},
    "preflight": {"base": BASES, "data": DATA},
    "answers": {"arm": ARMS, "suite": SUITES},
    "eval": {"arm": ARMS, "suite": SUITES, "serving.draft": ("base",)},
    "comparison": {"arms": ARMS, "suite": SUITES, "serving.draft": ("base",)},
}


FILTERS_REFER: dict[str, tuple[str, ...]] = {
    "suites": SUITES,
    "base": ("base",),
}  # the same for the fields of a stage's filters


class Described(Struct, frozen=True):
    """One artifact as a recipe describes it, and where. `spec` is None while loading, if the table has mistakes."""

    kind: str
    name: str
    spec: Any
    file: str
    embedded: bool = False

    def references(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        return references(self.kind, msgspec.to_builtins(self.spec)) if self.kind in REFERS else iter(())

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def where(self) -> str:
        return f"{self.file}: {self.kind}.{self.name}"


class Recipe(Struct, frozen=True):
    """All artifacts by (kind, name), and the cases of every suite."""

    artifacts: dict[tuple[str, str], Described]
    suites: dict[str, Suite]

    def find(self, kinds: tuple[str, ...], name: str) -> Described:
        return next(self.artifacts[kind, name] for kind in kinds if (kind, name) in self.artifacts)

    def of(self, kind: str) -> Iterator[Described]:
        return (described for (k, _), described in self.artifacts.items() if k == kind)

    def suite_digest(self, name: str) -> str:
        return digest(self.suites[name])

    def asked_digest(self, name: str) -> str:
        """Changes when anything that a suite asks does; not when it judges otherwise."""
        suite = self.suites[name]
        return digest([[case.id, suite.question(case)] for case in suite.case])


def _inner(table: dict[str, Any], path: str) -> Any:
    """The value at `a.b` of tables that may have mistakes."""
    value: Any = table
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def references(kind: str, table: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What a table of this kind refers to: (field, kinds it may be, name). The table may have mistakes elsewhere."""
    filters = table.get("filters") if kind == "stage" else None
    for place, filter_ in enumerate(filters if isinstance(filters, list | tuple) else ()):
        for field_, kinds in FILTERS_REFER.items():
            value = filter_.get(field_) if isinstance(filter_, dict) else None
            for name in value if isinstance(value, list | tuple) else [value]:
                if isinstance(name, str):
                    yield f"filters[{place}].{field_}", kinds, name
    for field_, kinds in REFERS.get(kind, {}).items():
        value = _inner(table, field_)
        for index, item in enumerate(value if isinstance(value, list | tuple) else [value]):
            name = item.get("name") if isinstance(item, dict) else item
            if isinstance(name, str):
                yield (f"{field_}[{index}]" if isinstance(value, list | tuple) else field_), kinds, name
