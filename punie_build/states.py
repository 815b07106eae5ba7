"""States: is a target what its recipe, code, inputs and tools give now? Asked of the files that are here.

    current     its lock names the key of today, and its files are the ones the lock names
    absent      never made, or removed
    stale       made from something else
    edited      not the files that were made
    forgotten   `doit forget`: to be made again, and not restored

`planning` asks the same of a whole project, before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from punie_build import bases, digests, fingerprint, layout, locks, tools
from punie_build.graph import Task
from punie_build.locks import Facts, Lock


def facts(root: Path, task: Task) -> Facts:
    """Everything that decides the target as it is now."""
    return given(
        task,
        {place: digests.of_tree(root / place, task.reads) for place in task.inputs} | base(root, task),
        tools.of(task.kind, task.spec),
    )


def given(task: Task, inputs: dict[str, str], made_with: Mapping[str, str]) -> Facts:
    """The facts of a task whose inputs and tools are these."""
    return Facts(
        kind=task.kind,
        recipe=task.config,
        code=fingerprint.code(task.kind, task.spec),
        inputs=inputs,
        tools=dict(made_with),
    )


def base(root: Path, task: Task, pointers: bool = False) -> dict[str, str]:
    """The identity of the base a task starts from, if any, among its inputs."""
    return {"base": bases.identity(root, task.base, pointers)} if task.base else {}


def state(root: Path, task: Task) -> str:
    lock = locks.read(root / layout.lock(task.target))
    return compared(root, task, lock, facts(root, task))


def compared(root: Path, task: Task, lock: Lock | None, now: Facts) -> str:
    """The state of a target whose lock and facts are known."""
    if (root / layout.forgotten(task.target)).exists():
        return "forgotten"
    if lock is None or not (root / task.target).is_dir():
        return "absent"
    if lock.key != now.key:
        return "stale"
    return "current" if digests.of_folder(root / task.target) == lock.outputs else "edited"


def forget(root: Path, task: Task) -> None:
    """The next build makes the target, whatever the store has."""
    mark = root / layout.forgotten(task.target)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def clean(root: Path, task: Task) -> None:
    """Remove a target. Its lock stays: it is what git knows of the target, and the next build restores what it names."""
    import shutil

    shutil.rmtree(root / task.target, ignore_errors=True)
