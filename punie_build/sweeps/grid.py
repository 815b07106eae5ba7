"""Grids: lists of values in an adapter's or an eval's table, and the cells they make.

    [adapter.v1]
    learning_rate = [1e-4, 1e-3]          # an axis
    lora = { rank = [8, 16] }             # another: four settings
    seed = [0, 1]                         # the replicate: eight adapters, `v1@learning_rate-0.001,rank-8,seed-0` ...

Cells are ordinary artifacts, and cells that say the same are one. `cells = [{ ... }, ...]` lists settings side by side instead of
crossing them. To let another kind have grids: its row in `KINDS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from punie_build.engine.gates import Gate
from punie_build.evaluation.spec import Eval
from punie_build.schema.spec import Spec, canonical, digest
from punie_build.schema.validation import mistakes
from punie_build.sweeps import axes
from punie_build.sweeps.axes import Point, Table
from punie_build.training.spec import Adapter, Tokenized

MOST = 500  # cells: more is a slip of the pen, or work for a search
LONGEST = 120  # characters of a cell's name: it becomes a folder
REMARKS = (  # what a recipe says of an artifact without changing it
    "description", "gates", "report_to", "project_name", "save_every", "expect", "temporary", "allow", "concurrency", "timeout", "require",
)  # fmt: skip


class Cell(Spec, frozen=True, kw_only=True):
    """One artifact of a grid: its value on each axis that matters to it, and which replicate it is."""

    name: str
    setting: Table
    seed: int | None = None


class Grid(Spec, frozen=True, kw_only=True):
    """The cells of a grid, all of the kind `of`, and its axes: the fields they differ in."""

    of: str
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    description: str = ""


class Choice(Spec, frozen=True, kw_only=True):
    """A copy of an adapter of the setting that has this `place` in the ranking of a grid, the first of its seeds. `tokens` is what
    all cells are trained on."""

    grid: str
    place: int
    tokens: Tokenized
    gates: tuple[Gate, ...] = ()
    description: str = ""

    @property
    def base(self) -> str:
        return self.tokens.base

    @property
    def data(self) -> str:
        return self.tokens.data


class Said(Spec, frozen=True, kw_only=True):
    """What a table says of its grid, not of its cells. `best`: how many choices are made. `cells`: settings side by side.
    `failed`: settings that a search tried in vain."""

    best: Annotated[int, Meta(ge=1)] = 1
    cells: Annotated[tuple[Table, ...], Meta(min_length=1)] | None = None
    failed: tuple[Table, ...] = ()


class Rules(Struct, frozen=True, kw_only=True):
    """How a kind makes cells. `fixed`: what all cells have in common, and why. `moot`: fields that do not matter to a spec.
    `replicate`: the axis that only repeats."""

    spec: type[Spec]
    fixed: dict[str, str]
    moot: Callable[[Any], Iterable[str]]
    replicate: str = ""


def _adapter_moot(spec: Adapter) -> Iterator[str]:
    if spec.fine_tune_type == "full":
        yield "lora"
    if spec.batching in ("bucket", "file"):
        yield "batch_tokens"
    if not spec.warmup:
        yield "warmup_init"


def _eval_moot(spec: Eval) -> Iterator[str]:
    """What `Sampling.effective` takes away, and what belongs to a draft or a small cache that is not there."""
    if spec.sampling.greedy:
        yield from ("sampling.top_p", "sampling.top_k", "sampling.min_p")
    if spec.sampling.repetition_penalty == 1:
        yield "sampling.repetition_context_size"
    if spec.serving.draft is None:
        yield "serving.draft_tokens"
    if spec.serving.kv_bits is None:
        yield from ("serving.kv_group_size", "serving.quantized_kv_start")


TOKENS = "base", "data", "mask", "max_seq_length", "too_long", "val_batches"
KINDS = {
    "adapter": Rules(
        spec=Adapter,
        fixed=dict.fromkeys(
            TOKENS, "losses over other tokens cannot be ranked - describe an adapter for each, and a comparison of them"
        ),
        moot=_adapter_moot,
        replicate="seed",
    ),
    "eval": Rules(
        spec=Eval,
        fixed=dict.fromkeys(("arm", "suite"), "an eval asks one arm one suite - describe a comparison of arms"),
        moot=_eval_moot,
    ),
}


class Made(Struct, frozen=True, kw_only=True):
    """What came of a table with lists: the grid and the spec of each of its cells; `said` and `gates` are of the whole."""

    grid: Grid
    specs: tuple[Any, ...]
    said: Said
    gates: tuple[Gate, ...]


def is_grid(kind: str, table: Table) -> bool:
    """Whether a table of this kind has lists of values."""
    return kind in KINDS and ("cells" in table or any(axes.found(_varied(table), KINDS[kind].spec)))


def cells(kind: str, name: str, table: Table, where: str) -> tuple[Made | None, list[str]]:
    """The cells of a table, or all its mistakes, each with the place of its value: `adapter.v1.lora.rank[1]: ...`."""
    rules = KINDS[kind]
    own = {field: table[field] for field in Said.__struct_fields__ if field in table}
    problems = [*mistakes(own, Said, where), *_fixed(table, rules, where)]
    if problems:
        return None, problems
    said = msgspec.convert(own, Said)
    parts = [("", {}, _varied(table))] if said.cells is None else _listed(said.cells, _varied(table))
    if (count := sum(axes.count(part, rules.spec) for *_, part in parts)) > MOST:
        return None, [f"{where}: its lists make {count:,} cells, at most {MOST} - shorten them, or describe a search"]
    remarks = {field: table[field] for field in REMARKS if field in table}
    points = [_entry(point, place, entry) for place, entry, part in parts for point in axes.points(part, rules.spec)]
    if problems := _mistakes(points, remarks, rules.spec, where):
        return None, problems
    distinct: dict[bytes, tuple[Point, Any]] = {}
    bare = {field: value for field, value in remarks.items() if field not in ("description", "gates")}
    for point in points:
        spec = msgspec.convert(point.value | bare, rules.spec)
        moot = {*rules.moot(spec)}
        spec = settled(kind, spec)
        setting = {field: value for field, value in point.setting.items() if not moot.intersection(_outward(field))}
        distinct.setdefault(canonical(spec), (Point(point.setting, setting), spec))
    named = _names(name, [point.value for point, _ in distinct.values()])
    made = [_cell(each, point.setting, rules) for each, (point, _) in zip(named, distinct.values(), strict=True)]
    if said.best > (settings := len({canonical(cell.setting) for cell in made})):
        return None, [f"{where}.best: {said.best}, but there are {settings} settings - lower it"]
    varied = tuple(dict.fromkeys(field for cell in made for field in cell.setting))
    grid = Grid(of=kind, axes=varied, cells=tuple(made), description=table.get("description", ""))
    gates = msgspec.convert(table.get("gates", ()), tuple[Gate, ...])
    return Made(grid=grid, specs=tuple(spec for _, spec in distinct.values()), said=said, gates=gates), []


def settled(kind: str, spec: Any) -> Any:
    """A spec whose fields that do not matter have their defaults: those that mean the same are equal."""
    for field in KINDS[kind].moot(spec):
        spec = _reset(spec, field)
    return spec


def _reset(spec: Any, field: str) -> Any:
    name, _, inner = field.partition(".")
    if inner:
        return structs.replace(spec, **{name: _reset(getattr(spec, name), inner)})
    [default] = [each.default for each in structs.fields(spec) if each.name == name]
    return structs.replace(spec, **{name: default})


def _varied(table: Table) -> Table:
    """What of a table may have lists of values."""
    return {key: value for key, value in table.items() if key not in (*Said.__struct_fields__, *REMARKS)}


def _fixed(table: Table, rules: Rules, where: str) -> Iterator[str]:
    listed = table.get("cells")
    entries = listed if isinstance(listed, list | tuple) else []
    within = [(f"cells[{i}].", entry) for i, entry in enumerate(entries) if isinstance(entry, dict)]
    for place, part in [("", _varied(table)), *within]:
        for field, values in axes.found(part, rules.spec):
            if not values:
                yield f"{where}.{place}{field}: an empty list makes no cells - give it values, or remove it"
        varied = part if place else {field for field, _ in axes.found(part, rules.spec)}
        yield from (
            f"{where}.{place}{field}: the same in all cells: {why}"
            for field, why in rules.fixed.items()
            if field in varied
        )


def _listed(entries: tuple[Table, ...], table: Table) -> list[tuple[str, Table, Table]]:
    """For each entry of `cells`: where it stands, itself, and the whole table with what it says."""
    return [(f"cells[{index}].", entry, axes.over(table, entry)) for index, entry in enumerate(entries)]


def _entry(point: Point, place: str, entry: Table) -> Point:
    """A point of an entry of `cells`: all that the entry says is part of the setting."""
    own = dict(axes.leaves(entry))
    at = {field: point.places.get(field, field) for field in [*own, *point.places]}
    places = {field: f"{place}{there}" if field in own else there for field, there in at.items()}
    return Point(point.value, own | point.setting, places)


def _mistakes(points: list[Point], remarks: Table, spec: type[Spec], where: str) -> list[str]:
    """All mistakes of all points, each once. One that is not of a value is told of the table if all points have it, else with
    the setting that does."""
    found = [[*mistakes(point.value | remarks, spec, where)] for point in points]
    common = Counter(problem for some in found for problem in dict.fromkeys(some))
    told = []
    for point, some in zip(points, found, strict=True):
        for problem in some:
            path, colon, what = problem.removeprefix(where).partition(": ")
            field = path.removeprefix(".")
            if place := next((f for f in _outward(field) if f in point.places), None):
                told.append(f"{where}.{point.places[place]}{field.removeprefix(place)}{colon}{what}")
            elif not field and common[problem] < len(points):
                taken = ", ".join(f"{name} {_label(value)}" for name, value in point.setting.items())
                told.append(f"{where}: with {taken}{colon}{what}")
            else:
                told.append(problem)
    return list(dict.fromkeys(told))


def _outward(field: str) -> Iterator[str]:
    """`optimizer.betas[0]`, then what it is in: `optimizer.betas`, `optimizer`."""
    while field:
        yield field
        field = field[: max(field.rfind("."), field.rfind("["), 0)]


def _cell(name: str, setting: Table, rules: Rules) -> Cell:
    seed = setting.get(rules.replicate)
    return Cell(name=name, setting={k: v for k, v in setting.items() if k != rules.replicate}, seed=seed)


def _names(grid: str, settings: list[Table]) -> list[str]:
    """`v1@learning_rate-0.001,rank-8`: the last words of the fields, unless two fields end in one."""
    fields = dict.fromkeys(field for setting in settings for field in setting)
    ends = Counter(field.rpartition(".")[2] for field in fields)
    short = {field: end if ends[end := field.rpartition(".")[2]] == 1 else field for field in fields}
    names = [
        f"{grid}@" + ",".join(f"{short[field]}-{_label(setting[field])}" for field in fields if field in setting)
        for setting in settings
    ]
    often = Counter(name.lower() for name in names)  # names that differ in case are one folder on a Mac
    return [
        name if often[name.lower()] == 1 and len(name) <= LONGEST else f"{name[:LONGEST]}-{digest(setting)[:8]}"
        for name, setting in zip(names, settings, strict=True)
    ]


def _label(value: Any) -> str:
    """A value as part of a name: `0.001`, `8`, `true`, `adamw+weight_decay-0.1`, `self_attn.q_proj+self_attn.v_proj`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        kind = [str(value["type"])] if "type" in value else []
        return "+".join([*kind, *(f"{key}-{_label(item)}" for key, item in value.items() if key != "type")])
    if isinstance(value, list | tuple):
        return "+".join(map(_label, value))
    return re.sub(
        r"[^\w.+-]+", "-", repr(value).removesuffix(".0") if isinstance(value, float) else str(value), flags=re.ASCII
    )
