"""Loading: recipe files -> a recipe, or every mistake of every file, told at once."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from punie_build.data.sources import Local
from punie_build.data.spec import Dataset
from punie_build.errors import RecipeError, did_you_mean
from punie_build.evaluation import suite_file
from punie_build.evaluation.suite import Suite
from punie_build.export import spec as models
from punie_build.recipes.recipe import (
    ADAPTERS,
    BASES,
    DATA,
    FAMILIES,
    KINDS,
    REFERS,
    SUITES,
    Described,
    Recipe,
    references,
)
from punie_build.schema.validation import mistakes
from punie_build.storage import paths
from punie_build.sweeps import grid as grids
from punie_build.sweeps import search_spec as searches
from punie_build.sweeps.spec import Selection
from punie_build.training.spec import tokenized

HERE = Path(__file__).parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BUILT_IN = "built in"


def load(root: Path) -> Recipe:
    """Read `recipes/*.toml` of a project. Raises RecipeError with every mistake of every file."""
    loader = _Loader()
    loader.read(HERE / "builtin.toml", BUILT_IN)
    files = sorted((root / "recipes").glob("*.toml"))
    if not files:
        loader.problems.append("recipes/: no recipes - write one, docs/recipes.md shows how")
    for file in files:
        loader.read(file, f"recipes/{file.name}")
    loader.dangling()
    cases = dict(loader.suites(root))
    if not loader.problems:
        loader.choose()
        loader.circles()
    if not loader.problems:
        loader.models(root)
        loader.searches()
    if loader.problems:
        raise RecipeError(loader.problems)
    return Recipe(loader.artifacts, cases)


class _Loader:
    """The tables of all files as they come in, and what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.artifacts: dict[tuple[str, str], Described] = {}
        self.tables: list[
            tuple[str, str, str, dict[str, Any]]
        ] = []  # kind, name, where, table: also those with mistakes
        self.taken: dict[tuple[tuple[str, ...], str], Described] = {}
        self.mistaken: set[str] = set()
        self.choices: dict[str, list[str]] = {}  # grid of adapters -> its choices

    def read(self, path: Path, label: str) -> None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.problems.append(f"{label}: not TOML: {error}")
            return
        for kind, named in tables.items():
            if kind not in KINDS:
                self.problems.append(f"{label}: {kind}: unknown kind of artifact{did_you_mean(kind, KINDS)}")
            elif not isinstance(named, dict) or not all(isinstance(table, dict) for table in named.values()):
                self.problems.append(f"{label}: {kind}: artifacts have names - write [{kind}.some-name]")
            else:
                for name, table in named.items():
                    self.describe(kind, name, table, label)

    def describe(self, kind: str, name: str, table: dict[str, Any], label: str) -> None:
        where = f"{label}: {kind}.{name}"
        self.tables.append((kind, name, where, table))
        problems = (
            []
            if _is_name(name)
            else [
                f"{label}: {kind}.{name!r}: not a name - use letters, digits, '-', '_' and '.', at most 64: it becomes a folder"
            ]
        )
        made = None
        if grids.is_grid(kind, table):
            made, wrong = grids.expand(kind, name, table, where)
            problems += wrong
        else:
            problems += mistakes(table, KINDS[kind], where)
        spec = None if problems or made else msgspec.convert(table, KINDS[kind])
        problems += [f"{where}.{key}: {problem}" for key, place in _paths(spec) if (problem := escapes(place))]
        self.problems += problems
        new = Described(kind, name, spec, label, label == BUILT_IN)
        family = next(family for family in FAMILIES if kind in family)
        if not self.take(family, new) or problems:
            self.mistaken.add(name)
            return
        if made:
            self.spread(new, made)
        else:
            self.artifacts[kind, name] = new

    def take(self, family: tuple[str, ...], new: Described) -> bool:
        """Whether a name is free among what shares a folder. Names that differ in case are one folder on a Mac."""
        old = self.taken.setdefault((family, new.name.lower()), new)
        if old is not new:
            self.problems.append(
                f"{new.where}: the name is taken by {old.kind}.{old.name} ({old.file}) - choose another"
            )
        return old is new

    def spread(self, described: Described, made: grids.ExpandedGrid) -> None:
        """A grid: its cells, the overview of them, and copies of the best."""
        kind, name, file = described.kind, described.name, described.file
        if not self.take(("grid",), described):
            return
        new = [Described(kind, cell.name, spec, file) for cell, spec in zip(made.grid.cells, made.specs, strict=True)]
        new.append(Described("grid", name, made.grid, file))
        if kind == "adapter":
            self.choices[name] = [f"{name}@{place}" for place in range(1, made.options.best + 1)]
            for place, choice in enumerate(self.choices[name], 1):
                gates = made.gates if place == 1 else ()
                spec = Selection(grid=name, rank=place, tokens=tokenized(made.specs[0]), gates=gates)
                new.append(Described("choice", choice, spec, file))
        self.artifacts |= {(each.kind, each.name): each for each in new}

    def choose(self) -> None:
        """Where an adapter is named and a grid stands: the grid's best choices in a list, else its first."""
        for key, described in self.artifacts.items():
            for field in [field for field, kinds in REFERS.get(key[0], {}).items() if "choice" in kinds]:
                value = getattr(described.spec, field)
                if isinstance(value, tuple):
                    chosen: Any = tuple(name for each in value for name in self.choices.get(each, [each]))
                else:
                    chosen = self.choices.get(value, [value])[0]
                try:
                    spec = msgspec.structs.replace(self.artifacts[key].spec, **{field: chosen})
                except ValueError as error:
                    self.problems.append(f"{described.where}.{field}: {error}")
                    continue
                self.artifacts[key] = msgspec.structs.replace(self.artifacts[key], spec=spec)

    def dangling(self) -> None:
        """References to names that no table has; a name whose table has mistakes is there all the same."""
        names = {(kind, name) for kind, name, _, _ in self.tables} | set(self.artifacts)
        for kind, _, where, table in self.tables:
            for key, kinds, name in references(kind, table):
                if not any((other, name) in names for other in kinds) and name.partition("@")[0] not in self.mistaken:
                    known = [known for other, known in names if other in kinds]
                    told = " or ".join(kind for kind in kinds if kind in KINDS)
                    self.problems.append(f"{where}.{key}: no {told} is called '{name}'{did_you_mean(name, known)}")

    def circles(self) -> None:
        """What is made from itself: stages and mixes from data, adapters and models from one another."""
        made = (*DATA, *ADAPTERS, "model")
        nodes = {described.label: described for (kind, _), described in self.artifacts.items() if kind in made}
        edges = {
            label: [f"{kind}:{name}" for _, kinds, name in described.references() for kind in kinds]
            for label, described in nodes.items()
        }
        for described in self._of("choice"):
            grid = self.artifacts["grid", described.spec.grid].spec
            edges[described.label] = [f"{grid.of}:{cell.name}" for cell in grid.cells]
        try:
            TopologicalSorter({label: [to for to in tos if to in nodes] for label, tos in edges.items()}).prepare()
        except CycleError as error:
            circle = [nodes[label] for label in error.args[1]]
            names = " -> ".join(described.name for described in circle)
            self.problems.append(f"{circle[0].where}: made from itself: {names} - break the circle")

    def models(self, root: Path) -> None:
        """Models whose base, where it is at hand, cannot become them, or whose folder is a base's."""
        own = {PurePosixPath(str(base.spec.path)): base for base in self._of("base") if base.spec.path}
        for described in self._of("model"):
            place = paths.target("model", described.name)
            if base := own.get(PurePosixPath(place)):
                self.problems.append(
                    f"{described.where}: {place} is the folder of base.{base.name} - choose another name"
                )
            spec = self.beginning(described).spec
            folder = paths.nano() if spec.embedded else root / spec.path if spec.path else None
            with suppress(OSError, ValueError):  # what is no model is told where it is used
                told = json.loads((folder / "config.json").read_bytes()) if folder else None
                if isinstance(told, dict) and (why := models.unwritable(described.spec, told.get("model_type"))):
                    self.problems.append(f"{described.where}.{why}")

    def beginning(self, described: Described) -> Described:
        """The base that a model or an adapter goes back to."""
        recipe = Recipe(self.artifacts, {})
        while described.kind != "base":
            base = described.spec.base
            described = recipe.find(BASES, base) if base else recipe.find(ADAPTERS, described.spec.adapter)
        return described

    def searches(self) -> None:
        """Searches of what cannot be searched."""
        for described in self._of("search"):
            adapter = self.artifacts.get(("adapter", described.spec.adapter))
            if adapter is None:
                self.problems.append(
                    f"{described.where}.adapter: {described.spec.adapter} is a grid - name an adapter of one value each"
                )
            else:
                self.problems += searches.problems(described.spec, adapter.spec, described.where)

    def _of(self, kind: str) -> Iterator[Described]:
        return (described for (other, _), described in self.artifacts.items() if other == kind)

    def suites(self, root: Path) -> Iterator[tuple[str, Suite]]:
        """The cases of every suite that has no mistakes. Built-in ones that nobody names are not read: it takes time."""
        asked = {
            name for kind, _, _, table in self.tables for _, kinds, name in references(kind, table) if kinds == SUITES
        }
        for described in [described for (kind, _), described in self.artifacts.items() if kind == "suite"]:
            if described.embedded and described.name not in asked:
                continue
            suite, problems = suite_file.read_suite(described.spec, root, described.where)
            self.problems += problems
            if suite is not None:
                yield described.name, suite


def _is_name(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not name.endswith(".") and ".." not in name


def _paths(spec: Any) -> Iterator[tuple[str, str]]:
    """Where a spec says that something is: (field, path)."""
    for key in ("path", "file"):
        if (place := getattr(spec, key, None)) is not None:
            yield key, place
    if isinstance(spec, Dataset):
        yield from (
            ("source.path" if isinstance(spec.source, Local) else "source.reads", place)
            for place in spec.source.inputs()
        )


def escapes(place: str) -> str | None:
    """Why a path is not one inside the project, or None."""
    path = PurePosixPath(place.replace("\\", "/"))
    if not place.strip() or path == PurePosixPath("."):
        return "an empty path - name a file or folder of the project"
    if path.is_absolute() or re.match(r"^[A-Za-z]:|^~", place) or ".." in path.parts or "\0" in place:
        return f"'{place}' leaves the project - copy or link what it names into the project"
    return None
