"""Grids: tables of adapters and evals that have lists of values, expanded to cells.

    [adapter.v1]
    learning_rate = [1e-4, 1e-3]          # an axis
    lora = { rank = [8, 16] }             # another one: four settings
    seed = [0, 1]                         # the replicate: eight adapters, `v1@learning_rate-0.001,rank-8,seed-0` ...

Cells are ordinary artifacts, and cells with equal specs are one. `cells = [{ ... }, ...]` lists settings side by side
instead of crossing them. A kind has grids if its declaration has `GridRules` and its spec has `ineffective_fields()`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.engine.gates import Gate
from punie_build.engine.kind import ArtifactKind, GridRules
from punie_build.schema.spec import Spec, canonical, digest
from punie_build.schema.validation import mistakes
from punie_build.sweeps import axes
from punie_build.sweeps.axes import Point, Table
from punie_build.sweeps.spec import Cell, Grid, GridOptions

MAX_CELLS = 500  # more cells are a typing error, or a task for a search
MAX_NAME_LENGTH = 120  # characters of a cell's name, which becomes a folder


class ExpandedGrid(Struct, frozen=True, kw_only=True):
    """A grid, the spec of each of its cells, and the options and gates of the grid."""

    grid: Grid
    specs: tuple[Any, ...]
    options: GridOptions
    gates: tuple[Gate, ...]


def is_grid(kind: ArtifactKind, table: Table) -> bool:
    """Return whether a table of this kind has lists of values."""
    return kind.grid is not None and ("cells" in table or any(axes.find(_variable_fields(kind, table), _spec(kind))))


def expand(kind: ArtifactKind, name: str, table: Table, where: str) -> tuple[ExpandedGrid | None, list[str]]:
    """Return (grid, []) of a table, or (None, mistakes), each with the location of its value:
    `adapter.v1.lora.rank[1]: ...`."""
    rules, spec_type = kind.grid, _spec(kind)
    assert rules is not None, "the loader asks `is_grid` first"
    own = {field: table[field] for field in GridOptions.__struct_fields__ if field in table}
    problems = [*mistakes(own, GridOptions, where), *_fixed_field_mistakes(kind, table, where)]
    if problems:
        return None, problems
    options = msgspec.convert(own, GridOptions)
    variable = _variable_fields(kind, table)
    parts = [("", {}, variable)] if options.cells is None else _listed_parts(options.cells, variable)
    if (count := sum(axes.count(part, spec_type) for *_, part in parts)) > MAX_CELLS:
        return None, [f"{where}: its lists make {count:,} cells, at most {MAX_CELLS} - shorten them, or use a search"]
    constant = {field: table[field] for field in kind.not_in_key if field in table}
    points = [
        _with_entry(point, location, entry) for location, entry, part in parts for point in axes.expand(part, spec_type)
    ]
    if problems := _point_mistakes(points, constant, spec_type, where):
        return None, problems
    distinct = _distinct(kind, points, constant)
    names = _cell_names(name, [point.value for point, _ in distinct])
    cells = [_cell(cell_name, point.setting, rules) for cell_name, (point, _) in zip(names, distinct, strict=True)]
    if options.best > (settings := len({canonical(cell.setting) for cell in cells})):
        return None, [f"{where}.best: {options.best}, but there are {settings} settings - lower it"]
    varied = tuple(dict.fromkeys(field for cell in cells for field in cell.setting))
    grid = Grid(of=kind.name, axes=varied, cells=tuple(cells), description=table.get("description", ""))
    gates = msgspec.convert(table.get("gates", ()), tuple[Gate, ...])
    return ExpandedGrid(grid=grid, specs=tuple(spec for _, spec in distinct), options=options, gates=gates), []


def without_ineffective(spec: Any) -> Any:
    """Return a spec with defaults in the fields that have no effect, so that specs of the same effect are equal."""
    for field in spec.ineffective_fields():
        spec = _reset(spec, field)
    return spec


def _distinct(kind: ArtifactKind, points: list[Point], constant: Table) -> list[tuple[Point, Any]]:
    """Return (point, spec) of the points with different effects; a point has the whole setting as its value, for the
    cell's name, and the effective setting."""
    distinct: dict[bytes, tuple[Point, Any]] = {}
    in_cells = {field: value for field, value in constant.items() if field not in ("description", "gates")}
    for point in points:
        spec: Any = msgspec.convert(point.value | in_cells, _spec(kind))
        ineffective = {*spec.ineffective_fields()}
        spec = without_ineffective(spec)
        setting = {f: value for f, value in point.setting.items() if not ineffective.intersection(_prefixes(f))}
        distinct.setdefault(canonical(spec), (Point(point.setting, setting), spec))
    return [*distinct.values()]


def _spec(kind: ArtifactKind) -> type[Spec]:
    assert kind.spec is not None, "a kind with grids has tables"
    return kind.spec


def _reset(spec: Any, field: str) -> Any:
    name, _, inner = field.partition(".")
    if inner:
        return structs.replace(spec, **{name: _reset(getattr(spec, name), inner)})
    [default] = [info.default for info in structs.fields(spec) if info.name == name]
    return structs.replace(spec, **{name: default})


def _variable_fields(kind: ArtifactKind, table: Table) -> Table:
    """Return the fields of a table that may have lists of values."""
    return {key: value for key, value in table.items() if key not in (*GridOptions.__struct_fields__, *kind.not_in_key)}


def _fixed_field_mistakes(kind: ArtifactKind, table: Table, where: str) -> Iterator[str]:
    """Yield a line for each empty list, and for each field that varies and must not."""
    rules, spec_type = kind.grid, _spec(kind)
    assert rules is not None, "only a kind with grids gets here"
    listed = table.get("cells")
    entries = listed if isinstance(listed, list | tuple) else []
    in_cells = [(f"cells[{i}].", entry) for i, entry in enumerate(entries) if isinstance(entry, dict)]
    for location, part in [("", _variable_fields(kind, table)), *in_cells]:
        for field, values in axes.find(part, spec_type):
            if not values:
                yield f"{where}.{location}{field}: an empty list makes no cells - give it values, or remove it"
        varied = part if location else {field for field, _ in axes.find(part, spec_type)}
        yield from (
            f"{where}.{location}{field}: must be the same in all cells: {reason}"
            for field, reason in rules.fixed.items()
            if field in varied
        )


def _listed_parts(entries: tuple[Table, ...], table: Table) -> list[tuple[str, Table, Table]]:
    """Return (location, entry, whole table with its values) for each entry of `cells`."""
    return [(f"cells[{index}].", entry, axes.merge(table, entry)) for index, entry in enumerate(entries)]


def _with_entry(point: Point, location: str, entry: Table) -> Point:
    """Return a point of an entry of `cells` whose setting holds all values of the entry."""
    own = dict(axes.flatten(entry))
    inner = {field: point.locations.get(field, field) for field in [*own, *point.locations]}
    locations = {field: f"{location}{path}" if field in own else path for field, path in inner.items()}
    return Point(point.value, own | point.setting, locations)


def _point_mistakes(points: list[Point], constant: Table, spec: type[Spec], where: str) -> list[str]:
    """Return the distinct mistakes of all points.

    A mistake of a value has the location of that value. Any other belongs to the table if all points have it, else to a
    setting.
    """
    by_point = [[*mistakes(point.value | constant, spec, where)] for point in points]
    counts = Counter(problem for problems in by_point for problem in dict.fromkeys(problems))
    lines = []
    for point, problems in zip(points, by_point, strict=True):
        for problem in problems:
            path, colon, text = problem.removeprefix(where).partition(": ")
            field = path.removeprefix(".")
            if axis := next((prefix for prefix in _prefixes(field) if prefix in point.locations), None):
                lines.append(f"{where}.{point.locations[axis]}{field.removeprefix(axis)}{colon}{text}")
            elif not field and counts[problem] < len(points):
                setting = ", ".join(f"{name} {_label(value)}" for name, value in point.setting.items())
                lines.append(f"{where}: with {setting}{colon}{text}")
            else:
                lines.append(problem)
    return list(dict.fromkeys(lines))


def _prefixes(field: str) -> Iterator[str]:
    """Yield `optimizer.betas[0]`, then the fields that contain it: `optimizer.betas`, `optimizer`."""
    while field:
        yield field
        field = field[: max(field.rfind("."), field.rfind("["), 0)]


def _cell(name: str, setting: Table, rules: GridRules) -> Cell:
    seed = setting.get(rules.replicate)
    return Cell(name=name, setting={k: v for k, v in setting.items() if k != rules.replicate}, seed=seed)


def _cell_names(grid: str, settings: list[Table]) -> list[str]:
    """Return names such as `v1@learning_rate-0.001,rank-8`: with the last part of each field, unless two fields
    share it."""
    fields = dict.fromkeys(field for setting in settings for field in setting)
    counts = Counter(field.rpartition(".")[2] for field in fields)
    short = {field: last if counts[last := field.rpartition(".")[2]] == 1 else field for field in fields}
    names = [
        f"{grid}@" + ",".join(f"{short[field]}-{_label(setting[field])}" for field in fields if field in setting)
        for setting in settings
    ]
    repeated = Counter(
        name.lower() for name in names
    )  # names that differ in upper and lower case are one folder on a Mac
    return [
        name
        if repeated[name.lower()] == 1 and len(name) <= MAX_NAME_LENGTH
        else f"{name[:MAX_NAME_LENGTH]}-{digest(setting)[:8]}"
        for name, setting in zip(names, settings, strict=True)
    ]


def _label(value: Any) -> str:
    """Return a value as part of a name: `0.001`, `8`, `true`, `adamw+weight_decay-0.1`,
    `self_attn.q_proj+self_attn.v_proj`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        kind = [str(value["type"])] if "type" in value else []
        return "+".join([*kind, *(f"{key}-{_label(item)}" for key, item in value.items() if key != "type")])
    if isinstance(value, list | tuple):
        return "+".join(map(_label, value))
    text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII)
