"""Recipe: everything the recipe files of a project say, as frozen values, or every mistake in them.

    recipes/*.toml  ->  load(root)  ->  Recipe  ->  graph.tasks(recipe)

One file may describe several artifacts. Names refer to one another across files, and are unique among what shares a
folder: datasets, stages and mixes; bases and adapters; evals and comparisons; suites.
To add a kind of artifact: a Spec, a row in `KINDS`, a function in `graph.py`, a step in `steps.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from punie_build import suites
from punie_build.adapters import Adapter, Base
from punie_build.errors import RecipeError, did_you_mean
from punie_build.filters import AnyFilter
from punie_build.mixing import Part, Split
from punie_build.sources import AnySource, Local
from punie_build.spec import Spec, digest
from punie_build.suites import Suite
from punie_build.validation import mistakes

HERE = Path(__file__).parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Dataset(Spec, frozen=True, kw_only=True):
    """Examples from a source, as chat JSONL in train, valid and test. `split` is for sources that have no sides of their own."""

    source: AnySource
    split: Split = Split(valid=0.1, test=0.1)
    description: str = ""


class Stage(Spec, frozen=True, kw_only=True):
    """A dataset sifted by filters, one after another; the first to object is the reason."""

    from_: str = field(name="from")
    filters: Annotated[tuple[AnyFilter, ...], Meta(min_length=1)]
    description: str = ""


class Mix(Spec, frozen=True, kw_only=True):
    """Several datasets merged: capped and weighted, twins dropped, split anew so that no question is on two sides."""

    from_: Annotated[tuple[str | Part, ...], Meta(min_length=1)] = field(name="from")
    split: Split = Split()
    seed: int = 0
    description: str = ""

    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(name=part) if isinstance(part, str) else part for part in self.from_)


class SuiteFile(Spec, frozen=True, kw_only=True):
    """Where a suite's cases are: a TOML file of the project, or one that is built in."""

    file: str | None = None
    embedded: Literal["tool-calling"] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.embedded is None):
            raise ValueError("a suite needs `file`, a TOML file of cases in the project")


class Eval(Spec, frozen=True, kw_only=True):
    """The answers of one arm (a base or an adapter) to a suite, greedily decoded, and their scores."""

    arm: str
    suite: str
    max_tokens: Annotated[int, Meta(ge=1)] = 256
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    description: str = ""


class Comparison(Spec, frozen=True, kw_only=True):
    """Two or more arms on one suite, with a verdict. The first arm is what the others are held against."""

    arms: Annotated[tuple[str, ...], Meta(min_length=2)]
    suite: str
    max_tokens: Annotated[int, Meta(ge=1)] = 256
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    description: str = ""

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm occurs twice - compare different arms")


KINDS: dict[str, type[Spec]] = {
    "base": Base,
    "dataset": Dataset,
    "stage": Stage,
    "mix": Mix,
    "adapter": Adapter,
    "suite": SuiteFile,
    "eval": Eval,
    "comparison": Comparison,
}
DATA, ARMS, SUITES, REPORTS = ("dataset", "stage", "mix"), ("base", "adapter"), ("suite",), ("eval", "comparison")
FAMILIES = (DATA, ARMS, SUITES, REPORTS)


class Described(Struct, frozen=True):
    """One artifact as a recipe describes it, and where."""

    kind: str
    name: str
    spec: Any
    file: str
    embedded: bool = False

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


def load(root: Path) -> Recipe:
    """Read `recipes/*.toml` of a project. Raises RecipeError with every mistake of every file."""
    folder = root / "recipes"
    files = sorted(folder.glob("*.toml"))
    found: list[str] = []
    artifacts: dict[tuple[str, str], Described] = {}
    if not files:
        found.append(f"{folder.name}/: no recipes - write one, docs/recipes.md shows how")
    for path, label in [(HERE / "builtin.toml", "built in"), *((file, f"recipes/{file.name}") for file in files)]:
        for described in _read(path, label, found):
            _add(artifacts, described, found)
    cases = dict(_suites(root, artifacts, found))
    found += _dangling(artifacts)
    if not found:
        found += _cycles(artifacts)
    if found:
        raise RecipeError(found)
    return Recipe(artifacts, cases)


def _read(path: Path, label: str, found: list[str]) -> Iterator[Described]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found.append(f"{label}: not TOML: {error}")
        return
    for kind, named in tables.items():
        if kind not in KINDS:
            found.append(f"{label}: {kind}: unknown kind of artifact{did_you_mean(kind, KINDS)}")
        elif not isinstance(named, dict) or not all(isinstance(table, dict) for table in named.values()):
            found.append(f"{label}: {kind}: artifacts have names - write [{kind}.some-name]")
        else:
            for name, table in named.items():
                if described := _describe(kind, name, table, label, found):
                    yield described


def _describe(kind: str, name: str, table: dict[str, Any], label: str, found: list[str]) -> Described | None:
    where = f"{label}: {kind}.{name}"
    problems = []
    if not NAME.fullmatch(name) or name.endswith(".") or ".." in name:
        problems.append(
            f"{label}: {kind}.{name!r}: not a name - use letters, digits, '-', '_' and '.', at most 64: it becomes a folder"
        )
    problems += mistakes(table, KINDS[kind], where)
    if problems:
        found += problems
        return None
    spec = msgspec.convert(table, KINDS[kind])
    for key, place in (
        ("path", getattr(spec, "path", None)),
        ("file", getattr(spec, "file", None)),
        ("source.path", spec.source.path if isinstance(spec, Dataset) and isinstance(spec.source, Local) else None),
    ):
        if place is not None and (problem := _escapes(place)):
            found.append(f"{where}.{key}: {problem}")
            return None
    return Described(kind, name, spec, label, label == "built in")


def _escapes(place: str) -> str | None:
    """Why a path is not one inside the project, or None."""
    path = PurePosixPath(place.replace("\\", "/"))
    if not place.strip() or path == PurePosixPath("."):
        return "an empty path - name a file or folder of the project"
    if path.is_absolute() or re.match(r"^[A-Za-z]:|^~", place) or ".." in path.parts or "\0" in place:
        return f"'{place}' leaves the project - copy or link what it names into the project"
    return None


def _add(artifacts: dict[tuple[str, str], Described], new: Described, found: list[str]) -> None:
    family = next(family for family in FAMILIES if new.kind in family)
    for kind in family:
        old = artifacts.get((kind, new.name))
        # two names that differ only in case are one folder on a Mac
        old = old or next(
            (other for (k, name), other in artifacts.items() if k == kind and name.lower() == new.name.lower()), None
        )
        if old:
            found.append(f"{new.where}: the name is taken by {old.kind}.{old.name} ({old.file}) - choose another")
            return
    artifacts[new.kind, new.name] = new


def _suites(root: Path, artifacts: dict[tuple[str, str], Described], found: list[str]) -> Iterator[tuple[str, Suite]]:
    for described in [d for (kind, _), d in artifacts.items() if kind == "suite"]:
        spec: SuiteFile = described.spec
        path = HERE / "suites_builtin" / f"{spec.embedded}.toml" if spec.embedded else root / str(spec.file)
        label = spec.file or described.name
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            found.append(f"{described.where}.file: no file '{spec.file}' - create it, or correct the path")
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            found.append(f"{label}: not a TOML file: {error}")
            continue
        problems = list(mistakes(table, Suite, f"{label}: ", key="id"))
        if not problems:
            suite = msgspec.convert(table, Suite)
            problems = [f"{label}: {problem}" for problem in suites.problems(suite)]
            yield described.name, suite
        found += problems


def references(described: Described) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What an artifact refers to: (field, kinds it may be, name)."""
    match described.spec:
        case Stage(from_=name):
            yield "from", DATA, name
        case Mix() as mix:
            yield from ((f"from[{index}]", DATA, part.name) for index, part in enumerate(mix.parts()))
        case Adapter(base=base, data=data):
            yield "base", ("base",), base
            yield "data", DATA, data
        case Eval(arm=arm, suite=suite):
            yield "arm", ARMS, arm
            yield "suite", SUITES, suite
        case Comparison(arms=arms, suite=suite):
            yield from ((f"arms[{index}]", ARMS, arm) for index, arm in enumerate(arms))
            yield "suite", SUITES, suite


def _dangling(artifacts: dict[tuple[str, str], Described]) -> Iterator[str]:
    for described in artifacts.values():
        for key, kinds, name in references(described):
            if not any((kind, name) in artifacts for kind in kinds):
                known = [n for kind, n in artifacts if kind in kinds]
                yield f"{described.where}.{key}: no {' or '.join(kinds)} is called '{name}'{did_you_mean(name, known)}"


def _cycles(artifacts: dict[tuple[str, str], Described]) -> Iterator[str]:
    """Only data can go in circles: stages and mixes refer to data."""
    nodes = {name: described for (kind, name), described in artifacts.items() if kind in DATA}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            circle = trail[trail.index(name) :]
            yield f"{nodes[name].where}: made from itself: {' -> '.join([*circle, name])} - break the circle"
        elif name not in done:
            for _, _, other in references(nodes[name]):
                yield from visit(other, (*trail, name))
            done.add(name)

    for name in nodes:
        yield from visit(name, ())
