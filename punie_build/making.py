"""Making: one artifact and all it needs, for commands that go on with it. `doit` does the same for people."""

from __future__ import annotations

from pathlib import Path

from punie_build import build, digests, layout, locks
from punie_build.errors import UseError, did_you_mean
from punie_build.graph import Task, tasks
from punie_build.loading import load
from punie_build.locks import Lock
from punie_build.planning import needed, plan
from punie_build.screen import screen, seconds
from punie_build.steps import steps


def named(root: Path, label: str) -> Task:
    """The task of this label. Raises UseError if there is none."""
    known = {task.label: task for task in tasks(load(root))}
    if label not in known:
        raise UseError(f"{label}: no such artifact{did_you_mean(label, known)}")
    return known[label]


def make(root: Path, label: str) -> Lock:
    """Build what is not current of an artifact and all it needs; its lock. Raises PunieError where a step fails."""
    recipe = load(root)
    found, work = list(tasks(recipe)), steps(recipe)
    digests.remember(root)
    for planned in plan(root, needed(found, [label])):
        task = planned.task
        if planned.how != "current":
            screen.say(f".  {task.label}")
            outcome = build.build(root, task, work[task.kind])
            screen.say(f"   {outcome.said or outcome.how}  ({seconds(outcome.seconds)})")
    lock = locks.read(root / layout.lock(named(root, label).target))
    assert lock is not None, "it was built"
    return lock
