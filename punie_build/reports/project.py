"""Project: what pages are gathered from. Only what is current is shown: a page must not speak of other weights than its title."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import msgspec

from punie_build.artifacts.graph import Task
from punie_build.engine.plan import Planned, reached
from punie_build.errors import UseError
from punie_build.evaluation.suite import Suite
from punie_build.recipes.recipe import references
from punie_build.reports.lineage import Node
from punie_build.storage import locks, paths
from punie_build.storage.locks import Lock


class Project:
    """The artifacts of a project, each after what it is made from, and how they are."""

    def __init__(self, root: Path, planned: list[Planned], suites: dict[str, Suite]) -> None:
        self.root, self.suites = root, suites
        self.planned = {each.task.label: each for each in planned}

    @property
    def tasks(self) -> list[Task]:
        return [each.task for each in self.planned.values()]

    def current(self, label: str) -> bool:
        """Whether its files are here, and are what they should be: not stale, and not spent."""
        planned = self.planned.get(label)
        return planned is not None and planned.how == "current" and planned.state == "current"

    def of(self, *kinds: str) -> Iterator[Task]:
        """The current artifacts of these kinds."""
        return (task for task in self.tasks if task.kind in kinds and self.current(task.label))

    def lock(self, task: Task) -> Lock:
        """The lock of a current artifact. Raises UseError where there is none."""
        lock = locks.read(self.root / paths.lock(task.target))
        if lock is None:
            raise UseError(f"{task.label}: not built - `doit {task.label}`")
        return lock

    def folder(self, task: Task) -> Path:
        return self.root / task.target

    def before(self, label: str, *kinds: str) -> list[Task]:
        """All that an artifact is made from, of these kinds, itself among it, sources first."""
        found = reached([label], lambda each: self.planned[each].task.needs)
        return [task for task in self.of(*kinds) if task.label in found]

    @cached_property
    def nodes(self) -> list[Node]:
        """Every artifact, and the bases and suites that recipes name, in the order of the graph."""
        found: dict[str, Node] = {}
        for task in self.tasks:
            outside = [*self._outside(task)]
            for label in outside:
                kind, _, name = label.partition(":")
                found.setdefault(label, Node(label=label, kind=kind, name=name))
            found[task.label] = Node(
                label=task.label,
                kind=task.kind,
                name=task.name,
                of=(*task.needs, *outside),
                href=self.href(task),
                state=self.state(task),
            )
        return list(found.values())

    def _outside(self, task: Task) -> Iterator[str]:
        """The bases and suites of an artifact: nobody makes them."""
        for _, kinds, name in references(task.kind, msgspec.to_builtins(task.spec)):
            if not any(f"{kind}:{name}" in self.planned for kind in kinds):
                yield f"{'base' if 'base' in kinds else kinds[0]}:{name}"

    def state(self, task: Task) -> str:
        """In a word: current, spent, stale, not built."""
        planned = self.planned[task.label]
        if planned.how == "current":
            return planned.state
        return "not built" if planned.state == "absent" else "stale"

    def href(self, task: Task) -> str:
        """Its page, from another page; "" where there is none."""
        place = paths.page(task.kind, task.name)
        there = self.current(task.label) or (self.root / place).exists()
        return quote(place.rpartition("/")[2]) if there else ""
