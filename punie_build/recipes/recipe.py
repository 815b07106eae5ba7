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
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from punie_build.data.filters.union import AnyFilter
from punie_build.data.mix import Part
from punie_build.data.sources import AnySource
from punie_build.data.split import Split
from punie_build.data.transforms import AnyMap
from punie_build.engine.gates import SHARES, Expected, Gate, misnamed
from punie_build.evaluation.spec import Comparison, Eval, SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.export.spec import Model
from punie_build.schema.spec import Spec, digest
from punie_build.sweeps.search_spec import Search
from punie_build.training.spec import Adapter, Base

HERE = Path(__file__).parent
Dialect = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt-completion", "text",
    "glaive", "hermes", "qwen3-coder", "fenced-json", "code-mode",
]  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


COUNTS = (
    "rows",
    "examples",
    "dropped",
    "retention",
    "train",
    "valid",
    "test",
    SHARES,
)  # what data may be expected to be


class Data(Spec, frozen=True, kw_only=True):
    """What may be said of any data. `expect`: numbers it must have to be published. `temporary`: its files are removed when all
    that reads them is built. Neither changes what it is."""

    expect: Expected = field(default_factory=dict)
    temporary: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if wrong := misnamed(self.expect, COUNTS):
            raise ValueError("; ".join(wrong))


class Dataset(Data, frozen=True, kw_only=True):
    """Examples from a source, as chat JSONL in train, valid and test. `split` is for sources that have no sides of their own.

    `dialect` says how the source writes conversations down; `auto` looks at each row. `unreadable = "drop"` keeps what cannot be
    read in dropped.jsonl, with the reason; by default it is an error.
    """

    source: AnySource
    dialect: Dialect = "auto"
    unreadable: Literal["error", "drop"] = "error"
    split: Split = Split(valid=0.1, test=0.1)


class Stage(Data, frozen=True, kw_only=True):
    """A dataset sifted by filters, one after another; the first to object is the reason. `maps` rewrite rows before that."""

    from_: str = field(name="from")
    filters: Annotated[tuple[AnyFilter, ...], Meta(max_length=200)] = ()
    maps: tuple[AnyMap, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.filters or self.maps):
            raise ValueError("a stage without `filters` and `maps` does nothing - give it one")
        if len({base for each in self.filters if (base := getattr(each, "base", None))}) > 1:
            raise ValueError("its filters name two bases - make two stages of it")


class Mix(Data, frozen=True, kw_only=True):
    """Several datasets merged: capped and weighted, twins dropped, split anew so that no question is on two sides."""

    from_: Annotated[tuple[str | Part, ...], Meta(min_length=1)] = field(name="from")
    split: Split = Split()
    seed: int = 0

    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(name=part) if isinstance(part, str) else part for part in self.from_)


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
