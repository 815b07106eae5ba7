"""Load recipe files: from TOML to a `Recipe`, or every mistake of every file at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from punie_build.engine.kind import ArtifactKind, resolve
from punie_build.engine.recipe import Entry, EntryReference, Recipe, references
from punie_build.errors import RecipeError, did_you_mean
from punie_build.evaluation.spec import SuiteFile
from punie_build.recipes import recipe_files
from punie_build.recipes.defaults import TABLE, Defaults
from punie_build.recipes.table_cache import TableCache
from punie_build.schema import shorthand
from punie_build.schema.validation import converted
from punie_build.storage import paths
from punie_build.sweeps import grid as grids
from punie_build.sweeps.spec import Selection
from punie_build.training.spec import tokenized_for

BUILTIN_FILE = Path(__file__).parent / "builtin.toml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BUILT_IN = "built in"


def load(root: Path, kinds: Mapping[str, ArtifactKind], remember: bool = True) -> Recipe:
    """Read the recipe files of a project. Raises RecipeError with every mistake of every file.

    With `remember` the parsed files are kept in `.punie`, for later runs.
    """
    loader = _Loader(dict(kinds), TableCache(root))
    loader.read(BUILTIN_FILE, BUILT_IN)
    files = recipe_files.recipe_files(root)
    if not files:
        loader.problems.append("recipes/: no recipes - write one, `punie-build init` writes an example")
    loader.problems += recipe_files.problems(root, kinds)
    for label, file in files.items():
        loader.read(file, label)
    loader.add_tables()
    if remember:
        loader.cache.write()
    loader.check_references()
    contents = dict(loader.contents(root))
    if not loader.problems:
        loader.select_from_grids()
        loader.check_cycles()
    recipe = Recipe(loader.kinds, loader.entries, contents)
    if not loader.problems:
        loader.check_entries(root, recipe)
    if loader.problems:
        raise RecipeError(loader.problems)
    return recipe


class _Table(msgspec.Struct, frozen=True):
    """A table of a recipe file, with or without mistakes, and the names of other entries in it."""

    kind: ArtifactKind
    name: str
    where: str
    values: dict[str, Any]
    references: tuple[EntryReference, ...]


class _Loader:
    """The tables of all files as they are read, and their mistakes."""

    def __init__(self, kinds: dict[str, ArtifactKind], cache: TableCache) -> None:
        self.kinds, self.cache = kinds, cache
        self.tables_of = {name: kind for name, kind in kinds.items() if kind.spec is not None}
        self.problems: list[str] = []
        self.entries: dict[tuple[str, str], Entry[Any]] = {}
        self.recipe = Recipe(kinds, self.entries)  # as far as it is read
        self.tables: list[_Table] = []
        self.names: dict[tuple[str, str], Entry[Any]] = {}  # (namespace, name in lower case)
        self.defaults = Defaults(self.tables_of)
        self.files: list[tuple[str, dict[str, Any]]] = []  # (label, tables) as they were read
        self.mistaken: set[str] = set()  # names of tables that have mistakes
        self.selections: dict[str, list[str]] = {}  # grid of adapters -> the names of its selections

    def read(self, path: Path, label: str) -> None:
        """Read one file, and the defaults in it."""
        try:
            tables = self.cache.parse(path)
        except OSError as error:
            self.problems.append(f"{label}: cannot be read ({error.strerror}) - correct the link, or remove it")
            return
        except ValueError as error:
            self.problems.append(f"{label}: not TOML: {error}")
            return
        self.problems += self.defaults.read(tables.get(TABLE), label)
        self.files.append((label, {kind: table for kind, table in tables.items() if kind != TABLE}))

    def add_tables(self) -> None:
        """Convert the tables of all files, completed by the defaults of the project."""
        for label, tables in self.files:
            self._add_file(label, tables)

    def _add_file(self, label: str, tables: dict[str, Any]) -> None:
        for kind, by_name in tables.items():
            if kind not in self.tables_of:
                self.problems.append(f"{label}: {kind}: unknown kind of artifact{did_you_mean(kind, self.tables_of)}")
            elif not isinstance(by_name, dict) or not all(isinstance(table, dict) for table in by_name.values()):
                self.problems.append(f"{label}: {kind}: artifacts have names - write [{kind}.some-name]")
            else:
                for name, values in by_name.items():
                    self.add(self.table(self.kinds[kind], name, f"{label}: {kind}.{name}", values), label)

    def table(self, kind: ArtifactKind, name: str, where: str, values: dict[str, Any]) -> _Table:
        """Return a table as one of its kind, or of the variant that a key selects: then the keys of the kind that the
        variant lacks are reported, and left out."""
        key, variant = kind.variant(values)
        if key and kind.spec and variant.spec:
            known = {field.encode_name for field in msgspec.structs.fields(variant.spec)}
            others = {field.encode_name for field in msgspec.structs.fields(kind.spec)} - known
            misplaced = [name for name in values if name in others]
            self.problems += [f"{where}.{name}: does not go with `{key}` - remove one of them" for name in misplaced]
            values = {name: value for name, value in values.items() if name not in misplaced}
        if not where.startswith(BUILT_IN):
            values = self.defaults.complete(variant, values)
        return _Table(variant, name, where, values, tuple(references(variant, values)))

    def add(self, table: _Table, label: str) -> None:
        """Convert one table to an entry, or to the entries of its grid."""
        self.tables.append(table)
        kind, name, where = table.kind, table.name, table.where
        problems = _name_problems(name, f"{label}: {kind.name}.{name!r}")
        assert kind.spec is not None, "only kinds with a spec have tables"
        expanded, spec, found_problems = self._convert(table, table.values)
        if found_problems and (longhand := shorthand.expand(table.values, kind.spec)) != table.values:
            expanded, spec, found_problems = self._convert(table, longhand)
        problems += found_problems
        problems += [f"{where}.{field}: {problem}" for field, path in _paths(spec) if (problem := escapes(path))]
        self.problems += problems
        entry = Entry(kind, name, spec, label, label == BUILT_IN)
        if not self.claim(kind.namespace, entry) or problems:
            self.mistaken.add(name)
        elif expanded:
            self.add_grid(entry, expanded)
        else:
            self.entries[kind.name, name] = entry

    def _convert(self, table: _Table, values: dict[str, Any]) -> tuple[grids.ExpandedGrid | None, Any, list[str]]:
        """Return (grid, spec, mistakes) of the values of a table; one of the first two is None."""
        assert table.kind.spec is not None, "only kinds with a spec have tables"
        if grids.is_grid(table.kind, values):
            expanded, problems = grids.expand(table.kind, table.name, values, table.where)
            return expanded, None, problems
        spec, problems = converted(values, table.kind.spec, table.where)
        return None, spec, problems

    def claim(self, namespace: str, entry: Entry[Any]) -> bool:
        """Return whether a name is free in its namespace. Names that differ in case are one folder on a Mac."""
        first = self.names.setdefault((namespace, entry.name.lower()), entry)
        if first is not entry:
            self.problems.append(
                f"{entry.where}: the name is taken by {first.kind.name}.{first.name} ({first.file}) - choose another"
            )
        return first is entry

    def add_grid(self, entry: Entry[Any], expanded: grids.ExpandedGrid) -> None:
        """Add the cells of a grid, their ranking, and the selections of the best adapters."""
        grid, selection = self.kinds["grid"], self.kinds["choice"]
        if not self.claim(grid.namespace, entry):
            return
        kind, name, file, table = entry.kind, entry.name, entry.file, entry.origin
        entries = [
            Entry(kind, cell.name, spec, file, table=table)
            for cell, spec in zip(expanded.grid.cells, expanded.specs, strict=True)
        ]
        entries.append(Entry(grid, name, expanded.grid, file, table=table))
        if "trained" in kind.roles:
            self.selections[name] = [f"{name}@{rank}" for rank in range(1, expanded.options.best + 1)]
            for rank, chosen in enumerate(self.selections[name], 1):
                gates = expanded.gates if rank == 1 else ()
                spec = Selection(grid=name, rank=rank, tokens=tokenized_for(expanded.specs[0]), gates=gates)
                entries.append(Entry(selection, chosen, spec, file, table=table))
        self.entries |= {(each.kind.name, each.name): each for each in entries}

    def select_from_grids(self) -> None:
        """Replace the name of a grid by its best selections in a list of names, and by the first one elsewhere."""
        roles = self.kinds["choice"].roles
        for key, entry in list(self.entries.items()):
            for field in [field for field, role in entry.kind.references.items() if role in roles]:
                value = getattr(entry.spec, field)
                if isinstance(value, tuple):
                    selected: Any = tuple(name for item in value for name in self.selections.get(item, [item]))
                else:
                    selected = self.selections.get(value, [value])[0]
                try:
                    spec = msgspec.structs.replace(self.entries[key].spec, **{field: selected})
                except ValueError as error:
                    self.problems.append(f"{entry.where}.{field}: {error}")
                    continue
                self.entries[key] = msgspec.structs.replace(self.entries[key], spec=spec)

    def check_references(self) -> None:
        """Report names that no table has. A name whose table has mistakes counts as present."""
        names = {(table.kind.name, table.name) for table in self.tables} | set(self.entries)
        for table in self.tables:
            for reference in table.references:
                kinds = self.recipe.kinds_of(reference.role)
                is_known = any((kind.name, reference.name) in names for kind in kinds)
                if is_known or reference.name.partition("@")[0] in self.mistaken:
                    continue
                known = [name for kind, name in names if any(kind == each.name for each in kinds)]
                nouns = " or ".join(kind.name for kind in self.tables_of.values() if kind in kinds)
                self.problems.append(
                    f"{table.where}.{reference.field}: no {nouns} is called '{reference.name}'"
                    f"{did_you_mean(reference.name, known)}"
                )

    def check_cycles(self) -> None:
        """Report artifacts that are built from themselves."""
        nodes = {entry.label: entry for entry in self.entries.values()}
        edges = {
            label: [f"{kind.name}:{ref.name}" for ref in entry.references for kind in self.recipe.kinds_of(ref.role)]
            for label, entry in nodes.items()
        }
        for entry in nodes.values():
            read = entry.spec.source.inputs() if hasattr(entry.spec, "source") else ()
            edges[entry.label] += [builder.label for path in read if (builder := self.recipe.builder_of(path))]
            if isinstance(entry.spec, Selection):
                grid = self.entries["grid", entry.spec.grid].spec
                edges[entry.label] = [f"{grid.of}:{cell.name}" for cell in grid.cells]
        try:
            TopologicalSorter({label: [to for to in tos if to in nodes] for label, tos in edges.items()}).prepare()
        except CycleError as error:
            cycle = [nodes[label] for label in error.args[1]]
            names = " -> ".join(entry.name for entry in cycle)
            self.problems.append(f"{cycle[0].where}: built from itself: {names} - break the cycle")

    def check_entries(self, root: Path, recipe: Recipe) -> None:
        """Report what a kind finds wrong with an entry beside the others."""
        for entry in recipe.entries.values():
            for gate in getattr(entry.spec, "gates", ()) if entry.kind.metrics else ():
                arm, dot, name = gate.metric.rpartition(".")
                if name not in entry.kind.metrics:
                    hint = did_you_mean(gate.metric, [f"{arm}{dot}{known}" for known in entry.kind.metrics])
                    self.problems.append(
                        f"{entry.where}.gates: {entry.kind.name}s have no metric '{gate.metric}'{hint}"
                    )
            if entry.kind.cross_check:
                self.problems += resolve(entry.kind.cross_check)(root, recipe, entry)

    def contents(self, root: Path) -> Iterator[tuple[str, Any]]:
        """Yield (label, content) of entries that name a file, such as suites. Built-in ones that no table names are not
        read: it takes time."""
        named = {(ref.role, ref.name) for table in self.tables for ref in table.references}
        for entry in self.entries.values():
            if not entry.kind.content or (entry.builtin and (entry.kind.name, entry.name) not in named):
                continue
            content, problems = resolve(entry.kind.content)(entry.spec, root, entry.where)
            self.problems += problems
            if content is not None:
                yield entry.label, content


def _name_problems(name: str, where: str) -> list[str]:
    if name.lower().endswith((paths.LOCK, f".{paths.SPLITS_LOCK}")):
        return [f"{where}: the name of another artifact's lock - choose another"]
    if NAME.fullmatch(name) and not name.endswith(".") and ".." not in name:
        return []
    rule = "use letters, digits, '-', '_' and '.', at most 64 characters: it becomes a folder"
    return [f"{where}: not a name - {rule}"]


def _paths(spec: Any) -> Iterator[tuple[str, str]]:
    """Yield (field, path) for every path of the project in a spec."""
    for field in ("path", "file", "gguf"):
        if isinstance(path := getattr(spec, field, None), str):
            yield field, path
    if isinstance(spec, SuiteFile):
        yield from ((f"parts[{index}].file", part.file) for index, part in enumerate(spec.parts) if part.file)
    if source := getattr(spec, "source", None):
        field = "source.path" if hasattr(source, "path") else "source.reads"
        yield from ((field, path) for path in source.inputs())


def escapes(path: str) -> str | None:
    """Return why a path is not one inside the project, or None."""
    posix = PurePosixPath(path.replace("\\", "/"))
    if not path.strip() or posix == PurePosixPath("."):
        return "an empty path - name a file or folder of the project"
    if posix.is_absolute() or re.match(r"^[A-Za-z]:|^~", path) or ".." in posix.parts or "\0" in path:
        return f"'{path}' leaves the project - copy or link its content into the project"
    return None
