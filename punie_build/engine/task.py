"""Task: what builds one artifact. Its step makes the target from its inputs and the values of its recipe alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from punie_build.engine.kind import ArtifactKind, ExternalInput
from punie_build.engine.recipe import Entry, Recipe
from punie_build.errors import UseError, did_you_mean, printable
from punie_build.schema.spec import classes
from punie_build.storage import paths

SpecT = TypeVar("SpecT")


class TaskInputs(Struct, frozen=True, kw_only=True):
    """What a kind says of one entry before anything runs.

    `needs` are the entries that must be built first; `inputs` are the paths in the project that the step reads, and
    `reads` the files in them, if not all: other counts in the stats.json of a dataset must not retrain an adapter.
    `remembers` is the input that the step itself extends for the next build. `external` are inputs that no task builds.
    `details` adds values to the key, typed for the step. `uses` are values that the step works with besides the spec,
    by name: the code of their classes is the step's."""

    doc: str
    needs: tuple[Entry[Any], ...] = ()
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    remembers: str = ""
    external: dict[str, ExternalInput] = {}
    details: Struct | None = None
    uses: dict[str, Any] = {}


class Task(Struct, Generic[SpecT], frozen=True, kw_only=True, dict=True):
    """An entry of a recipe with its `TaskInputs`, as the engine builds it.

    `recipe` holds the values that enter the key; `needs` maps the labels of other tasks to their targets. The files of
    a `temporary` target are removed when every task that reads them is built; `temporary_inputs` are the targets of
    which that is so and that the inputs are, or lie in. `file` is the recipe file, `table` the (kind, name) of
    the table in it."""

    kind: ArtifactKind
    name: str
    spec: SpecT
    doc: str = ""
    recipe: dict[str, Any] = {}
    needs: dict[str, str] = {}
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    remembers: str = ""
    temporary: bool = False
    temporary_inputs: tuple[str, ...] = ()
    external: dict[str, ExternalInput] = {}
    details: Any = None
    uses: dict[str, Any] = {}
    file: str = ""
    table: tuple[str, str] = ("", "")

    @cached_property
    def label(self) -> str:
        return f"{self.kind.name}:{self.name}"

    @cached_property
    def target(self) -> str:
        return self.kind.target(self.name)

    @cached_property
    def classes(self) -> frozenset[type[Struct]]:
        """The classes of the values in the spec: they decide tools and code."""
        return classes(self.spec)

    def needed(self, kind: str) -> str:
        """Return the target of the first task of a kind that this one needs."""
        return next(target for label, target in self.needs.items() if label.startswith(f"{kind}:"))

    def files_read(self, path: str) -> tuple[str, ...]:
        """Return the files that the step reads in an input; () for all of them, as in a base that is built here."""
        return () if any(path == each.path for each in self.external.values()) else self.reads


AnyTask = Task[Any]


def graph(recipe: Recipe) -> list[AnyTask]:
    """Return a task for every artifact of a project, each after those it needs. Built-in entries are built where
    something needs them."""
    tasks: dict[str, AnyTask] = {}
    temporary: set[str] = set()  # targets
    inputs: dict[str, TaskInputs] = {}
    for target_entry in recipe.entries.values():
        if target_entry.builtin or not target_entry.kind.is_built:
            continue
        stack = [target_entry]
        while stack:  # no recursion: a chain of stages may be long
            entry = stack[-1]
            if entry.label in tasks:
                stack.pop()
                continue
            if entry.label not in inputs:
                assert entry.kind.inputs is not None, "a kind that is built says what it reads"
                inputs[entry.label] = entry.kind.inputs(recipe, entry)
            missing = [need for need in inputs[entry.label].needs if need.label not in tasks]
            if missing:
                stack += reversed(missing)
                continue
            stack.pop()
            task = task_of(entry, inputs[entry.label], temporary)
            tasks[entry.label] = task
            if task.temporary:
                temporary.add(task.target)
    return list(tasks.values())


def task_of(entry: Entry[Any], inputs: TaskInputs, temporary: Collection[str] = ()) -> AnyTask:
    """Return the task of an entry; `temporary` are the targets whose files are removed after use."""
    return Task(
        kind=entry.kind,
        name=entry.name,
        spec=entry.spec,
        doc=printable(getattr(entry.spec, "description", "") or inputs.doc),
        recipe=key_values(entry.kind, entry.spec, inputs.details),
        needs={need.label: need.target for need in inputs.needs},
        inputs=inputs.inputs,
        reads=inputs.reads,
        remembers=inputs.remembers,
        temporary=getattr(entry.spec, "temporary", False),
        temporary_inputs=tuple(dict.fromkeys(filter(None, (paths.holder(path, temporary) for path in inputs.inputs)))),
        external=inputs.external,
        details=inputs.details,
        uses=inputs.uses,
        file=entry.file,
        table=entry.origin,
    )


def key_values(kind: ArtifactKind, spec: Any, details: Struct | None = None) -> dict[str, Any]:
    """Return the values of a recipe that decide the bytes of its artifact."""
    values: dict[str, Any] = msgspec.to_builtins(spec)
    for field in kind.not_in_key:
        values.pop(field, None)
    return values | (msgspec.to_builtins(details) if details is not None else {})


def closure(labels: Iterable[str], needs: Callable[[str], Iterable[str]]) -> set[str]:
    """Return these labels and all that they need."""
    reached: set[str] = set()
    stack = list(labels)
    while stack:
        label = stack.pop()
        if label not in reached:
            reached.add(label)
            stack += needs(label)
    return reached


def with_needs(tasks: Sequence[AnyTask], labels: Iterable[str]) -> list[AnyTask]:
    """Return the tasks of these labels and all that they need, in order."""
    needs = {task.label: task.needs for task in tasks}
    reached = closure(labels, needs.__getitem__)
    return [task for task in tasks if task.label in reached]


def select(tasks: Sequence[AnyTask], words: Iterable[str]) -> list[AnyTask]:
    """Return the tasks of labels such as `adapter:v1`, or of names such as `v1` that one artifact has. The table of a
    grid, `adapter:sweep`, stands for its ranking. Raises UseError for a word that names none, or several."""
    return [_one(tasks, word) for word in words]


def _one(tasks: Sequence[AnyTask], word: str) -> AnyTask:
    kind, _, name = word.rpartition(":")
    named = [task for task in tasks if task.name == name and kind in ("", task.kind.name, *task.table[:1])]
    exact = [task for task in named if task.label == word] or named
    if len(exact) > 1:
        raise UseError(f"{word}: several artifacts have this name - name one of {', '.join(t.label for t in exact)}")
    if not exact:
        raise UseError(f"{word}: no such artifact{did_you_mean(word, (task.label for task in tasks))}")
    return exact[0]
