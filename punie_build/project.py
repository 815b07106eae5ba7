"""Making: one artifact and all it needs, for commands that go on with it. `doit` does the same for people."""

from __future__ import annotations

from pathlib import Path

from punie_build.artifacts.graph import Task, tasks
from punie_build.artifacts.steps import steps
from punie_build.engine import build
from punie_build.engine.plan import named, needed, plan
from punie_build.recipes.loader import load
from punie_build.runtime.console import console, format_seconds
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Lock


def task(root: Path, label: str) -> Task:
    """The task of this label. Raises UseError if there is none."""
    [found] = named(list(tasks(load(root))), [label])
    return found


def make(root: Path, label: str) -> Lock:
    """Build what is not current of an artifact and all it needs; its lock. Raises PunieError where a step fails."""
    recipe = load(root)
    found, work = list(tasks(recipe)), steps(recipe)
    digests.remember(root)
    for planned in plan(root, needed(found, [label])):
        task = planned.task
        if planned.how != "current":
            console.print_line(f".  {task.label}")
            outcome = build.build(root, task, work[task.kind])
            console.print_line(f"   {outcome.said or outcome.how}  ({format_seconds(outcome.seconds)})")
    [wanted] = named(found, [label])
    lock = locks.read(root / paths.lock(wanted.target))
    assert lock is not None, "it was built"
    return lock
