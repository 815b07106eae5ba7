"""Kinds of artifacts: one `ArtifactKind` value declares everything that is particular to a kind.

The engine, the commands and the pages read it and know no kind by name. `punie_build/artifacts/` holds the kinds of
punie-build; a project may add its own: see `docs/architecture.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from punie_build.schema.spec import Spec

if TYPE_CHECKING:
    from pathlib import Path

    from punie_build.engine.recipe import Entry, Recipe
    from punie_build.engine.task import TaskInputs
    from punie_build.engine.work import StepResult, Work
    from punie_build.storage.locks import KeyInputs, Lock

Lazy = str  # "package.module:name", imported when it is first used

NOT_IN_KEY = (
    "description",
    "expect",
    "gates",
    "temporary",
)  # what a recipe demands of an artifact, or says of it, changes no byte of it


class ExternalInput(Protocol):
    """Something that a task reads and that no task builds, such as a model from a hub."""

    @property
    def path(self) -> str | None:
        """The path in the project, where it lies there."""

    def identity(self, root: Path, pointers: bool = False) -> str:
        """Return what identifies its content in keys; `absent` where it is not there. With `pointers` a Git LFS pointer
        stands for its file."""

    def present(self, root: Path) -> Path | None:
        """Return its folder if it is on this machine, without a download."""

    def locate(self, root: Path) -> Path:
        """Return its folder, after a download if need be. Raises PunieError."""

    def dependency(self, name: str, identity: str) -> dict[str, Any]:
        """Return a SLSA resource descriptor of it."""


class GridRules(Struct, frozen=True, kw_only=True):
    """How a table with lists of values becomes the cells of a grid.

    `fixed` maps the fields that all cells share to the reason; `replicate` is the axis that only repeats a setting;
    `ranked_by` names the files of a cell that the ranking reads. The spec of the kind has a method
    `ineffective_fields()`."""

    fixed: dict[str, str]
    ranked_by: tuple[str, ...]
    replicate: str = ""


class Shards(Struct, frozen=True):
    """How a step is computed in parts on several workers, before one of them makes the target.

    `split` returns tasks like the one given, at most as many as it is told, or none if parts are not worth it.
    `collect` computes one part, and returns files by their paths in the project; `join` makes one set of files of all
    parts. The lines of these files are put in place for the step, which then has nothing left to compute."""

    split: Callable[[Any, int], list[Any]]
    collect: Callable[[Work[Any]], dict[str, bytes]]
    join: Callable[[list[dict[str, bytes]]], dict[str, bytes]]


class ArtifactKind(Struct, frozen=True, kw_only=True):
    """The declaration of one kind.

    In recipes: `name` is the table; `spec` the Struct of its entries (None where no recipe describes the kind); `roles`
    are what fields of other kinds may ask for; `references` maps a field to the role of the names in it (`a.b` is
    inside a table, `a[].b` in each item of a list); names are unique among the kinds of a `namespace`. `content` reads
    the file that an entry names and returns it with its mistakes; `grid` has the rules for tables with lists of values;
    `cross_check` yields the mistakes of an entry that only the whole recipe shows.
    `variants` maps a key to the kind of the same name that a table with this key describes.

    To build: `folder` and `suffix` give the path of a target; `inputs` returns what a task needs and reads, without
    opening a file; `step` makes the files; `check_first` raises what would go wrong, before the step waits for the
    device. `shards` are how workers of a cluster share a step. `work_ratio` tells how many times the work of a spec is
    that of a lock, for the plan's estimate, and `done_share` which share of it an interrupted or shorter run has done.
    A kind without a `folder` is not built.

    In the key: `version` is raised by hand when the step would give other bytes for the same recipe; without it the
    code of `step` itself is in the key. `packages` and `environment` are the tools whose versions decide the bytes.
    `not_in_key` are fields of the spec that decide none. The files of a `nameless` kind hold no name of an entry, or
    `rename` rewrites it in a folder, for a spec: results that were built under other names are restored.

    Afterwards: `metrics` are the names in a lock that gates may name; `measured` reads them again from the files of a
    target; `outputs` maps each file to the Struct that
    decodes it (a line of it, for `.jsonl`); `verify` yields where files differ from the recipe; `preview` adds what
    `plan` can foresee of a run; `page` is its page; `summary` maps metrics to words for tables."""

    name: str
    plural: str = ""
    spec: type[Spec] | None = None
    roles: tuple[str, ...] = ()
    references: dict[str, str] = {}
    namespace: str = ""
    content: Callable[[Any, Path, str], tuple[Any, list[str]]] | Lazy = ""
    grid: GridRules | None = None
    cross_check: Callable[[Path, Recipe, Entry[Any]], Iterable[str]] | Lazy = ""
    variants: dict[str, ArtifactKind] = {}

    folder: str = ""
    suffix: str = ""
    inputs: Callable[[Recipe, Entry[Any]], TaskInputs] | None = None
    step: Callable[[Work[Any]], StepResult] | Lazy = ""
    check_first: Callable[[Work[Any]], None] | Lazy = ""
    shards: Shards | Lazy = ""
    work_ratio: Callable[[Any, Lock], float] | None = None
    done_share: Callable[[Path, Any, KeyInputs, Lock], float] | Lazy = ""
    in_worker: bool = False  # computes in Python: several at a time need processes
    exclusive: str = ""  # what it needs for itself: one build at a time on this machine
    version: int | None = None
    packages: tuple[str, ...] = ()
    environment: Callable[[], dict[str, str]] | None = None
    not_in_key: tuple[str, ...] = NOT_IN_KEY
    nameless: bool = False
    rename: Callable[[Path, Any], None] | Lazy = ""

    history: frozenset[str] = frozenset()  # metrics that tell how a run went: an equal result may have others
    measured: Callable[[Path], Mapping[str, float]] | Lazy = ""
    metrics: frozenset[str] = frozenset()  # last words of the names that a gate may have; empty: any
    outputs: dict[str, Lazy] = {}
    verify: Callable[[Path, Any, Path | None], Iterator[str]] | Lazy = ""
    preview: Callable[..., None] | Lazy = ""
    page: Any = ""
    summary: Callable[[dict[str, float]], str] | tuple[tuple[str, str], ...] = ()

    @property
    def is_built(self) -> bool:
        """Whether punie-build makes artifacts of this kind; others are only named."""
        return bool(self.folder)

    def variant(self, table: dict[str, Any]) -> tuple[str, ArtifactKind]:
        """Return the key of a table that selects a variant, "" if none does, and the kind that the table describes."""
        return next(((key, kind) for key, kind in self.variants.items() if key in table), ("", self))

    def target(self, name: str) -> str:
        """Return the folder of an artifact, such as `data/clean`."""
        return f"{self.folder}/{name}{self.suffix}"

    def describe(self, metrics: dict[str, float]) -> str:
        """Return the metrics of an artifact in a few words."""
        if callable(self.summary):
            return self.summary(metrics)
        return ", ".join(text.format(metrics[name]) for name, text in self.summary if name in metrics)


def resolve(reference: Any) -> Any:
    """Return what a `Lazy` names; any other value as it is."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def symbol(reference: Any) -> tuple[str, str]:
    """Return (module, name) of a function, imported or not."""
    if isinstance(reference, str):
        module, _, name = reference.partition(":")
        return module, name
    return reference.__module__, reference.__qualname__
