"""doit tasks: one for every artifact of a project. `dodo.py` is three lines, everything else is in the recipes.

doit decides the order and what was selected; `engine.plan` and `engine.state` decide what is current, and
`engine.build` makes it."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from inspect import Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.exceptions import InvalidDodoFile, InvalidTask, TaskFailed

from punie_build.doit_plugin import backend, command_line
from punie_build.doit_plugin.reporter import Reporter
from punie_build.engine import gates
from punie_build.engine import state as states
from punie_build.engine.plan import Planned, plan, unneeded
from punie_build.engine.task import AnyTask
from punie_build.errors import PunieError, RecipeError, os_error
from punie_build.project import Project
from punie_build.recipes.recipe_files import FOLDER as RECIPES
from punie_build.reports import freshness
from punie_build.runtime.worker_pool import search_project_last
from punie_build.storage import locks, paths

if TYPE_CHECKING:
    from punie_build.engine import build

DOIT_CONFIG = {
    "backend": "punie",  # the locks know what is built; a database of doit would only go stale
    "reporter": Reporter,
    "par_type": "thread",  # a thread for each task that waits; what computes has a process of its own
    "verbosity": 2,
    "subtasks": True,
}


def artifacts(root: Path = Path(), recipes: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[dict[str, Any]]:
    """Yield a doit task for every artifact of the project in `root`.

    `recipes` are entries written in Python, `{"stage": {"clean": Stage(...)}}`: they are written to
    `recipes/dodo.toml`, so that commands, which run no code of a project, know them too."""
    search_project_last()
    try:
        if recipes is not None:
            from punie_build.recipes import python_recipes

            python_recipes.write(root / python_recipes.FILE, recipes)
        project = Project.load(root)
    except RecipeError as error:
        count = len(error.problems)
        raise InvalidDodoFile(f"{count} mistakes in the recipes\n{error}" if count > 1 else str(error)) from None
    if not command_line.is_doit(sys.argv):
        yield from doit_tasks(project)
        return
    if not command_line.has_own_tasks(DOIT_CONFIG):
        known = {task.kind.name for task in project.tasks} | {task.label for task in project.tasks} | {*project.groups}
        if mistake := command_line.problem(sys.argv[1:], known, {task.target for task in project.tasks}):
            print(mistake, file=sys.stderr)
            sys.exit(2)
    names = {*project.groups, *(name for task in project.optional_tasks for name in (task.label, task.target))}
    is_default = not command_line.may_name(sys.argv[1:], names)
    yield from doit_tasks(project, project.default_tasks if is_default else project.tasks)


def doit_tasks(project: Project, tasks: Sequence[AnyTask] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the doit tasks of a project, or of these artifacts of it: a group for each kind, and for each optional
    recipe file, and one task for each artifact."""
    run = Run(project)
    targets = [Target(run, task) for task in (project.tasks if tasks is None else tasks)]
    failed = project.failed_gates()
    for kind in dict.fromkeys(target.task.kind.name for target in targets):
        group = [target for target in targets if target.task.kind.name == kind]
        yield {
            "basename": kind,
            "name": None,
            "doc": f"all artifacts of the kind {kind}",
            "uptodate": [partial(_all_current, group)],
        }
    by_label = {target.task.label: target for target in targets}
    for name, labels in project.groups.items():
        folder, _, file = name.partition(":")
        group = [by_label[label] for label in labels if label in by_label]
        if not group:
            continue
        yield {
            "basename": folder,
            "name": file or None,
            "doc": f"all artifacts of {RECIPES}/{folder}/{f'{file}.toml' if file else ''}",
            "uptodate": [partial(_all_current, group)],
        } | ({"actions": None, "task_dep": labels} if file else {})
    for target in targets:
        task = target.task
        yield {
            "basename": task.kind.name,
            "name": task.name,
            "doc": f"{task.doc} - {gates.summary({'': failed[task.label]})[0]}" if task.label in failed else task.doc,
            "actions": [target.build],
            "task_dep": list(task.needs),
            "targets": [] if task.temporary else [task.target],  # doit itself runs a task whose target is missing
            "uptodate": [target],
            "clean": [(states.clean, [project.root, task])],
            "io": {"capture": False},
            "meta": {"recipe": task.recipe, "target": target},
        }


def _all_current(targets: list[Target]) -> bool:
    return all(target.current() for target in targets)


class Run:
    """One doit process: a project, and what a build would do, as it was when it was first asked for."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root, self.tasks = project.root, project.tasks
        self._planned: dict[str, Planned] = {}
        self.selected: Collection[str] = ()  # labels of what is built, if that is not everything

    def planned(self, task: AnyTask) -> Planned:
        """Return the plan for a task. Raises InvalidTask for an input that cannot be read."""
        if task.label not in self._planned:
            is_selected = task.label in self.selected
            tasks = [item for item in self.tasks if item.label in self.selected] if is_selected else self.tasks
            try:
                planned = plan(self.root, tasks)
            except OSError as error:  # of an input without access: doit shows the sentence
                raise InvalidTask(os_error(error, "the project")) from None
            self._planned = {item.task.label: item for item in planned} | self._planned
        return self._planned[task.label]

    def failed_gates(self) -> list[str]:
        """Return lines on the gates that the artifacts of this build fail."""
        selected = (task for task in self.tasks if task.label in self.selected)
        return gates.summary(self.project.failed_gates(selected))

    def draw(self) -> Iterator[str]:
        """Draw the pages that are out of date; yield lines about them."""
        if freshness.is_behind(self.root, self.tasks):
            from punie_build.reports import draw

            yield from draw.refresh(Project(self.root, self.project.recipe, self.tasks))  # as the project is now
            yield f"pages: {paths.INDEX}"


class Target:
    """One artifact in one doit process: what doit asks of it, and the outcome of its build."""

    __signature__ = Signature()  # doit asks for that of each, and it takes longer to find out than all else it does

    def __init__(self, run: Run, task: AnyTask) -> None:
        self.run, self.task = run, task
        self.outcome: build.Outcome | None = None
        self.seconds = 0.0
        self.was_current = False
        backend.targets[task.label] = self

    def __repr__(self) -> str:  # `doit info` prints it
        return f"{self.task.target}: {self.planned.forecast}"

    @property
    def planned(self) -> Planned:
        return self.run.planned(self.task)

    def current(self) -> bool:
        """Whether there is nothing to do: by the plan, or, once a build runs, by the files that are there by then."""
        is_current = self.planned.action == "current" or (
            Reporter.running and states.state(self.run.root, self.task) == "current"
        )
        self.was_current = is_current and not self.has_unmet_expectations()
        return self.was_current

    __call__ = current

    def has_unmet_expectations(self) -> bool:
        """Whether its metrics differ from what its recipe expects by now: then it is built, to report that."""
        if not getattr(self.task.spec, "expect", {}):
            return False
        lock = locks.read(self.run.root / paths.lock(self.task.target))
        return lock is not None and bool(gates.unmet_expectations(self.task.spec, lock.metrics))

    def remove_unneeded(self, pending: Collection[str]) -> list[str]:
        """Remove the temporary targets that this one read, if no other task needs them; return their labels."""
        removable = unneeded(self.run.root, self.run.tasks, self.task, pending)
        for task in removable:
            states.clean(self.run.root, task)
        return [task.label for task in removable]

    def forget(self) -> None:
        """Have the next build make it anew."""
        states.forget(self.run.root, self.task)

    def build(self) -> Any:
        """Build the target, as the action of its doit task."""
        from punie_build.engine import build

        started = time.monotonic()
        try:
            # doit runs what is current only if it was told to: `doit -a`
            self.outcome = build.build_with_inputs(self.run.root, self.task, self.run.tasks, afresh=self.was_current)
        except PunieError as error:
            return TaskFailed(str(error))
        except OSError as error:  # a full disk, a folder without access: no target is half there
            return TaskFailed(f"{os_error(error, self.task.target)}, and build again")
        finally:
            self.seconds = time.monotonic() - started
        return None
