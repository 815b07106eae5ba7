"""Kinds of data: datasets, stages and mixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from punie_build.artifacts.evaluation import EVAL
from punie_build.data import held_out
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.user_function import function_path
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.schema.spec import digest
from punie_build.storage import paths

ROWS = ("train.jsonl", "valid.jsonl", "test.jsonl")
OUTPUTS = {
    **dict.fromkeys(ROWS, "punie_build.data.example:Example"),
    "dropped.jsonl": "punie_build.data.writer:DroppedRow",
    "stats.json": "punie_build.data.stats:Stats",
}


class StageDetails(Struct, frozen=True):
    """The digest of each suite that a filter names: other cases drop other rows."""

    cases: dict[str, str]


class MixDetails(Struct, frozen=True, omit_defaults=True):
    """The components whose rows have no split (datasets with `split = "none"`, and stages of them), and those whose
    rows have an order, if the mix has none."""

    unsplit: tuple[str, ...]
    ordered: tuple[str, ...] = ()


def _dataset_inputs(recipe: Recipe, entry: Entry[Dataset]) -> TaskInputs:
    source = entry.spec.source
    place = next((getattr(source, field) for field in ("path", "repo", "url", "eval") if hasattr(source, field)), None)
    words = str(place or " ".join(getattr(source, "argv", ())) or source.__struct_config__.tag)
    memory = _splits_lock(entry)
    read = [str(PurePosixPath(path)) if recipe.builder_of(path) else path for path in source.inputs()]
    return TaskInputs(
        doc=f"examples from {words}",
        needs=tuple(_builders(recipe, read)),
        inputs=(*read, *memory),
        remembers=next(iter(memory), ""),
    )


def _source_mistakes(_root: Path, recipe: Recipe, entry: Entry[Dataset]) -> Iterator[str]:
    """Yield the inputs of a source that hold targets, or that lie in one that no recipe names."""
    targets = [each.target for each in recipe.entries.values() if each.kind.is_built and not each.builtin]
    folders = {each.kind.folder for each in recipe.entries.values() if each.kind.is_built}
    for path in map(PurePosixPath, entry.spec.source.inputs()):
        where = f"{entry.where}.source: {path}"
        if inside := [target for target in targets if path in PurePosixPath(target).parents]:
            yield f"{where} holds what is built from recipes ({', '.join(inside[:3])}) - name the one that is read"
        if target := next((target for target in targets if path == PurePosixPath(paths.lock(target))), None):
            yield f"{where} is the lock of {target}, written after its build - read {target}"
        is_derived = len(path.parts) > 1 and path.parts[0] in folders and "@" in path.parts[1]
        if is_derived and recipe.builder_of(str(path)) is None:
            yield f"{where} is made for a training - read {path.parts[0]}/{path.parts[1].partition('@')[0]}"


def _builders(recipe: Recipe, paths_read: Iterable[str]) -> Iterator[Entry[Any]]:
    """Yield the entries that build the inputs of a source, each once."""
    builders = (recipe.builder_of(path) for path in paths_read)
    yield from {entry.label: entry for entry in builders if entry}.values()


def _stage_inputs(recipe: Recipe, entry: Entry[Stage]) -> TaskInputs:
    spec = entry.spec
    source = recipe.resolve("data", spec.from_)
    transforms, filters = ([str(item.__struct_config__.tag) for item in items] for items in (spec.maps, spec.filters))
    parts = ([f"rewritten by {', '.join(transforms)}"] if transforms else []) + (
        [f"filtered by {', '.join(filters)}"] if filters else []
    )
    names = sorted({reference.name for reference in entry.references if reference.role == "suite"})
    base = next(iter(spec.bases()), None)
    functions = [str(item.function) for item in (*spec.maps, *spec.filters) if hasattr(item, "function")]
    suites = {name: recipe.content(recipe.resolve("suite", name)) for name in names}
    return TaskInputs(
        doc=f"{spec.from_} {', '.join(parts)}",
        needs=(source,),
        inputs=(source.target, *dict.fromkeys(map(function_path, functions))),
        reads=(*ROWS, held_out.FILE),
        external={"base": recipe.resolve("base", base).spec} if base else {},
        details=StageDetails(cases={name: digest(suite) for name, suite in suites.items()}) if suites else None,
        uses=suites,
    )


def _mix_inputs(recipe: Recipe, entry: Entry[Mix]) -> TaskInputs:
    sources = tuple(recipe.resolve("data", part.name) for part in entry.spec.parts())
    memory = _splits_lock(entry)
    unsplit = tuple(source.name for source in sources if _is_unsplit(recipe, source))
    ordered = tuple(source.name for source in sources if not entry.spec.order and _is_ordered(recipe, source))
    return TaskInputs(
        doc=f"{' + '.join(source.name for source in sources)}, split without leakage",
        needs=sources,
        inputs=(*(source.target for source in sources), *memory),
        reads=(*ROWS, held_out.FILE),
        details=MixDetails(unsplit, ordered) if unsplit or ordered else None,
        remembers=next(iter(memory), ""),
    )


def _splits_lock(entry: Entry[Any]) -> tuple[str, ...]:
    """Return the file that keeps the split of each group, if the recipe keeps splits."""
    split = entry.spec.split
    return (paths.splits_lock(entry.target),) if split != "none" and split.lock else ()


def _is_unsplit(recipe: Recipe, entry: Entry[Any]) -> bool:
    """Return whether the rows of an entry wait for a mix to split them."""
    spec = entry.spec
    if isinstance(spec, Stage):
        return _is_unsplit(recipe, recipe.resolve("data", spec.from_))
    return isinstance(spec, Dataset) and spec.split == "none"


def _is_ordered(recipe: Recipe, entry: Entry[Any]) -> bool:
    """Return whether the training rows of an entry are in the order of a mix, which a stage keeps."""
    spec = entry.spec
    if isinstance(spec, Stage):
        return _is_ordered(recipe, recipe.resolve("data", spec.from_))
    return isinstance(spec, Mix) and spec.order is not None


def datasets_read(recipe: Recipe, entry: Entry[Any]) -> Iterator[Entry[Dataset]]:
    """Yield the datasets whose rows reach an entry, unless a function or a key selects or changes rows."""
    spec = entry.spec
    items = (*getattr(spec, "maps", ()), *getattr(spec, "filters", ()))
    if isinstance(spec, Dataset):
        yield entry
    selects = any(hasattr(item, "function") or hasattr(item, "key") for item in items)
    for reference in entry.references:
        if reference.role == "data" and not selects:
            yield from datasets_read(recipe, recipe.resolve("data", reference.name))


def _measured(folder: Path) -> dict[str, float]:
    from punie_build.data.stats import read_stats

    return read_stats(folder).metrics()


COMMON: dict[str, Any] = {
    "roles": ("data",),
    "namespace": "data",
    "folder": "data",
    "in_worker": True,
    "not_in_key": NOT_IN_KEY,
    "outputs": OUTPUTS,
    "verify": "punie_build.data.verify:data",
    "page": "punie_build.reports.pages.data:DATA_PAGE",
    "measured": _measured,
}
DATASET = ArtifactKind(
    name="dataset",
    plural="Datasets",
    spec=Dataset,
    references={"source.eval": EVAL.name},
    cross_check=_source_mistakes,
    inputs=_dataset_inputs,
    step="punie_build.data.steps:dataset",
    summary=(("examples", "{:,.0f} examples"),),
    **COMMON,
)
STAGE = ArtifactKind(
    name="stage",
    plural="Stages",
    spec=Stage,
    references={"from": "data", "filters[].suites": "suite", "filters[].base": "base", "maps[].base": "base"},
    inputs=_stage_inputs,
    step="punie_build.data.steps:stage",
    summary=(("examples", "{:,.0f} examples"), ("retention", "{:.0%} kept")),
    **COMMON,
)
MIX = ArtifactKind(
    name="mix",
    plural="Mixes",
    spec=Mix,
    references={"from": "data"},
    inputs=_mix_inputs,
    step="punie_build.data.steps:mix",
    summary=(("examples", "{:,.0f} examples"),),
    **COMMON,
)
