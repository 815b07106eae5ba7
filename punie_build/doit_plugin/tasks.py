"""doit: `dodo.py` is three lines, everything is in the recipes. doit decides the order and what was selected; whether a
target is current, `planning` and `states` decide, and `build` makes it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from doit.exceptions import InvalidDodoFile, TaskFailed

from punie_build.artifacts.graph import Task, tasks
from punie_build.doit_plugin import backend
from punie_build.doit_plugin.reporter import Reporter
from punie_build.engine import build, fingerprint, gates, state
from punie_build.engine.plan import Planned, free, plan
from punie_build.errors import PunieError, RecipeError
from punie_build.recipes.loader import load
from punie_build.recipes.recipe import Recipe
from punie_build.reports import freshness
from punie_build.storage import digests, locks, paths, settings

DOIT_CONFIG = {
    "backend": "punie",  # the locks know what is built; doit's own database would only go stale
    "reporter": Reporter,
    "par_type": "thread",  # a thread per task that waits; what computes has a process of its own
    "verbosity": 2,
    "subtasks": True,
}


def artifacts(root: Path = Path()) -> Iterator[dict[str, Any]]:
    """A doit task for every artifact of the project in `root`."""
    root = root.resolve()
    try:
        recipe = load(root)
        settings.of(root)
    except RecipeError as error:
        raise InvalidDodoFile(
            f"{len(error.problems)} mistakes in the recipes\n{error}" if len(error.problems) > 1 else str(error)
        ) from None
    yield from described(root, tasks(recipe), _Steps(recipe), recipe)


def described(
    root: Path, found: Iterable[Task], work: Mapping[str, build.Step], recipe: Recipe | None = None
) -> Iterator[dict[str, Any]]:
    """doit tasks for these tasks, which `work` makes by their kind. Pages are drawn of those of a recipe."""
    project = Project(root, list(found), work, recipe)
    targets = [Target(project, task) for task in project.tasks]
    for kind in dict.fromkeys(task.kind for task in project.tasks):
        group = [target for target in targets if target.task.kind == kind]
        yield {"basename": kind, "name": None, "doc": f"every {kind}", "uptodate": [partial(_all_current, group)]}
    for target in targets:
        task = target.task
        yield {
            "basename": task.kind,
            "name": task.name,
            "doc": task.doc,
            "actions": [target.build],
            "task_dep": list(task.needs),
            "targets": [] if task.temporary else [task.target],  # doit itself makes a target that is not there
            "uptodate": [target.current],
            "clean": [(state.clean, [root, task])],
            "io": {"capture": False},
            "meta": {"recipe": task.config, "target": target},
        }


class _Steps(dict[str, build.Step]):
    """The steps of a recipe, imported when the first is asked for: most runs of doit have nothing to do."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def __missing__(self, kind: str) -> build.Step:
        from punie_build.artifacts.steps import steps

        self.update(steps(self.recipe))
        return self[kind]


def _all_current(targets: list[Target]) -> bool:
    return all(target.current() for target in targets)


class Project:
    """The tasks of one doit process, and what a build would do, as it was when somebody first asked."""

    def __init__(
        self, root: Path, found: list[Task], work: Mapping[str, build.Step], recipe: Recipe | None = None
    ) -> None:
        self.root, self.tasks, self.work, self.recipe = root, found, work, recipe
        self._plan: dict[str, Planned] = {}
        self.chosen: Collection[str] = ()  # labels of what is built, if that is not all
        digests.remember(root)
        fingerprint.remember(root)

    def planned(self, task: Task) -> Planned:
        if task.label not in self._plan:
            some = (
                [each for each in self.tasks if each.label in self.chosen] if task.label in self.chosen else self.tasks
            )
            self._plan = {planned.task.label: planned for planned in plan(self.root, some)} | self._plan
        return self._plan[task.label]

    def draw(self) -> Iterator[str]:
        """Draw the pages of what was made since they were drawn last; lines on what came of it."""
        if self.recipe and freshness.behind(self.root, (task.target for task in self.tasks)):
            from punie_build.reports import draw as pages

            yield from pages.refresh(pages.project_of(self.root, self.recipe))
            yield f"pages: {paths.INDEX}"


class Target:
    """One artifact in one doit process: what doit asks of it, and what came of it (`outcome`)."""

    def __init__(self, project: Project, task: Task) -> None:
        self.project, self.task = project, task
        self.outcome: build.Outcome | None = None
        self.seconds = 0.0
        self.was_current = False
        backend.targets[task.label] = self

    def __repr__(self) -> str:  # what `doit info` shows
        return f"{self.task.target}: {self.planned.forecast}"

    @property
    def planned(self) -> Planned:
        return self.project.planned(self.task)

    def current(self) -> bool:
        """Whether there is nothing to do: by the plan, or, once a build runs, by the files that are there by now."""
        found = self.planned.how == "current" or (
            Reporter.running and state.state(self.project.root, self.task) == "current"
        )
        self.was_current = found and not self.unexpected()
        return self.was_current

    def unexpected(self) -> bool:
        """Whether its numbers are not those that its recipe expects by now: then it is built, to say so."""
        if not getattr(self.task.spec, "expect", {}):
            return False
        lock = locks.read(self.project.root / paths.lock(self.task.target))
        return lock is not None and bool(gates.objections(self.task.spec, lock.metrics))

    def let_go(self, waiting: Collection[str]) -> list[str]:
        """Remove the temporary targets that were there for this one, if nothing else needs them; their labels."""
        root = self.project.root
        some = free(root, self.project.tasks, self.task, waiting)
        for task in some:
            state.clean(root, task)
        return [task.label for task in some]

    def forget(self) -> None:
        state.forget(self.project.root, self.task)

    def build(self) -> Any:
        step, started = self.project.work[self.task.kind], time.monotonic()
        try:
            # doit runs what is current only if it was told to: `doit -a`
            self.outcome = build.build(self.project.root, self.task, step, again=self.was_current)
        except PunieError as error:
            return TaskFailed(str(error))
        except OSError as error:  # a full disk, a folder that may not be written: nothing of ours is half there
            return TaskFailed(f"{error} - make room or give access, and build again")
        finally:
            self.seconds = time.monotonic() - started
        return None
