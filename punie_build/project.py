"""Project: the one way to the artifacts of a folder with recipes, for doit, commands, pages, searches and programs.

from punie_build.project import Project

if __name__ == "__main__":  # a build starts processes, which import the module that started it
    project = Project.load()
    for planned in project.plan(["adapter:v1"]):
        print(planned.task.label, planned.forecast)
    lock = project.build("adapter:v1")
    print(lock.metrics["valid_loss"], project.folder("adapter:v1"))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from punie_build.artifacts.registry import KINDS
from punie_build.engine import fingerprint, gates
from punie_build.engine import plan as planning
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.plan import Planned
from punie_build.engine.recipe import Recipe
from punie_build.engine.task import AnyTask, closure, graph, select, with_needs
from punie_build.errors import UseError
from punie_build.recipes import loader, recipe_files
from punie_build.runtime.console import console, format_seconds
from punie_build.storage import digests, locks, paths, settings
from punie_build.storage.locks import Lock

if TYPE_CHECKING:
    from punie_build.engine.check import ArtifactCheck


class Project:
    """The recipe of a project and its tasks, each after those it needs.

    `planned` is what a build would do, as of the first time that it is asked for.
    """

    def __init__(self, root: Path, recipe: Recipe, tasks: Sequence[AnyTask] | None = None) -> None:
        self.root, self.recipe = root, recipe
        self.tasks: list[AnyTask] = graph(recipe) if tasks is None else list(tasks)

    @classmethod
    def load(cls, root: Path = Path(), kinds: Mapping[str, ArtifactKind] = KINDS, remember: bool = True) -> Project:
        """Read the recipes and settings of a project. Raises RecipeError with every mistake.

        With `remember` the digests of this run are written to `.punie`, for later ones.
        """
        root = root.resolve()
        recipe = loader.load(root, kinds, remember)
        settings.load(root)
        fingerprint.use_cache(paths.user_cache())
        if remember:
            digests.use_cache(root)
        return cls(root, recipe)

    @staticmethod
    def has_recipes(root: Path) -> bool:
        """Whether a folder is a project."""
        return recipe_files.has_recipes(root)

    @property
    def folders(self) -> list[str]:
        """Return the folders that hold targets and their locks."""
        return list(dict.fromkeys(kind.folder for kind in self.recipe.kinds.values() if kind.folder))

    def task(self, label: str) -> AnyTask:
        """Return the task of a label such as `adapter:v1`. Raises UseError if there is none."""
        [task] = select(self.tasks, [label])
        return task

    def select(self, labels: Sequence[str]) -> list[AnyTask]:
        """Return the tasks of these labels and groups and all that they need; for none, the tasks that are built
        without being named. Raises UseError."""
        if not labels:
            return self.default_tasks
        members = [label for word in labels for label in self.groups.get(word, [word])]
        return with_needs(self.tasks, [task.label for task in select(self.tasks, members)])

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Return the labels of the optional artifacts by group, such as `ablation:rank`, and by folder, `ablation`."""
        groups: dict[str, list[str]] = {}
        for task in self.tasks:
            if group := recipe_files.group_of(task.file):
                groups.setdefault(recipe_files.folder_of(group), []).append(task.label)
                groups.setdefault(group, []).append(task.label)
        return groups

    @cached_property
    def default_tasks(self) -> list[AnyTask]:
        """Return the tasks of all recipes that are not optional, and all that they need."""
        if not self.groups:
            return self.tasks
        required = {entry.label for entry in self.recipe.entries.values() if not entry.builtin}
        required -= {label for labels in self.groups.values() for label in labels}
        return with_needs(self.tasks, [task.label for task in self.tasks if task.label in required])

    @cached_property
    def optional_tasks(self) -> list[AnyTask]:
        """Return the tasks that are built only if they, or a group with them, are named."""
        default = {task.label for task in self.default_tasks}
        return [task for task in self.tasks if task.label not in default]

    def tasks_in_use(self) -> list[AnyTask]:
        """Return the tasks that are built without being named, and the optional ones that were built."""
        unused = {task.label for task in self.optional_tasks if not (self.root / paths.lock(task.target)).exists()}
        return [task for task in self.tasks if task.label not in unused]

    def plan(self, labels: Sequence[str] = ()) -> list[Planned]:
        """Return the plan of a build of these artifacts and all that they need."""
        return planning.plan(self.root, self.select(labels))

    def build(self, label: str) -> Lock:
        """Build an artifact and all that it needs, as far as they are not current, and return its lock. Raises
        PunieError."""
        from multiprocessing import current_process

        from punie_build.engine import build

        if getattr(current_process(), "_inheriting", False):  # else the two wait for each other's locks
            raise UseError(
                f"{label}: a process that builds imports this program again, which would build again"
                ' - put the build under `if __name__ == "__main__":`'
            )
        if remark := settings.not_allowed(self.root):
            console.print_line(remark)
        for planned in self.plan([label]):
            if planned.action != "current":
                console.print_line(f".  {planned.task.label}")
                outcome = build.build_with_inputs(self.root, planned.task, self.tasks)
                duration = format_seconds(outcome.seconds)
                console.print_line(f"   {outcome.message or outcome.action}  ({duration})")
        return self.lock(self.task(label))

    def check(self, levels: Sequence[str] | None = None) -> list[ArtifactCheck]:
        """Compare recipes, locks and files, artifact by artifact, on these or all levels. Optional artifacts that have
        no lock are left out."""
        from punie_build.engine import check as checking

        levels = checking.LEVELS if levels is None else levels
        return checking.check(self.root, self.tasks_in_use(), levels, self.folders)

    def lock(self, task: AnyTask | str) -> Lock:
        """Return the lock of an artifact. Raises UseError if it was never built."""
        task = self.task(task) if isinstance(task, str) else task
        lock = locks.read(self.root / paths.lock(task.target))
        if lock is None:
            from punie_build.runtime.program import build_command

            raise UseError(f"{task.label}: not built - `{build_command()} {task.label}`")
        return lock

    def folder(self, task: AnyTask | str) -> Path:
        """Return the folder of an artifact, whether it is built or not."""
        return self.root / (self.task(task) if isinstance(task, str) else task).target

    def failed_gates(self, tasks: Iterable[AnyTask] | None = None) -> dict[str, list[str]]:
        """Return the gates that the locks of these or all artifacts fail, by label."""
        demanding = (task for task in (self.tasks if tasks is None else tasks) if gates.required(task.spec))
        recorded = ((task, locks.read(self.root / paths.lock(task.target))) for task in demanding)
        lines = {task.label: gates.failures(task.spec, lock.metrics) for task, lock in recorded if lock}
        return {label: failed for label, failed in lines.items() if failed}

    @cached_property
    def planned(self) -> dict[str, Planned]:
        """Return the plan of a build, by label."""
        return {item.task.label: item for item in planning.plan(self.root, self.tasks)}

    def is_current(self, label: str) -> bool:
        """Whether the files of an artifact are here and are those that its recipe gives now."""
        planned = self.planned.get(label)
        return planned is not None and planned.action == "current" and planned.state == "current"

    def current_tasks(self, *kinds: str) -> Iterator[AnyTask]:
        """Yield the current artifacts of these kinds or roles."""
        return (task for task in self._of_kinds(kinds) if self.is_current(task.label))

    def _of_kinds(self, kinds: Sequence[str]) -> list[AnyTask]:
        """Return the tasks of these kinds or roles, in the order of the graph."""
        indexes = {index for kind in kinds for index in self._indexes_by_role.get(kind, ())}
        return [self.tasks[index] for index in sorted(indexes)]

    @cached_property
    def _indexes_by_role(self) -> dict[str, list[int]]:
        indexes: dict[str, list[int]] = {}
        for index, task in enumerate(self.tasks):
            for role in dict.fromkeys((task.kind.name, *task.kind.roles)):
                indexes.setdefault(role, []).append(index)
        return indexes

    @cached_property
    def _order(self) -> dict[str, int]:
        return {task.label: index for index, task in enumerate(self.tasks)}

    def upstream(self, label: str, *kinds: str) -> list[AnyTask]:
        """Return the current artifacts of these kinds or roles that an artifact is built from, itself among them,
        sources first."""
        labels = closure([label], lambda name: self.tasks[self._order[name]].needs)
        tasks = [self.tasks[index] for index in sorted(self._order[name] for name in labels)]
        roles = set(kinds)
        return [
            task
            for task in tasks
            if roles.intersection((task.kind.name, *task.kind.roles)) and self.is_current(task.label)
        ]

    def state(self, task: AnyTask) -> str:
        """Return the state of an artifact in a word for people: current, removed, stale, not built."""
        planned = self.planned[task.label]
        if planned.action == "current":
            return planned.state
        return "not built" if planned.state == "absent" else "stale"
