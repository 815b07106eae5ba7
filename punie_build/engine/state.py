"""States: is a target what its recipe, code, inputs and tools give now? Asked of the files that are here.

    current     its lock names the key of today, and its files are the ones the lock names
    absent      never made, or removed
    spent       temporary, and removed when all that reads it was built
    stale       made from something else
    edited      not the files that were made
    forgotten   `doit forget`: to be made again, and not restored

`planning` asks the same of a whole project, before anything is made. It alone knows whether something needs what is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct, structs

from punie_build.artifacts.graph import Task
from punie_build.engine import card_notes, explain, fingerprint
from punie_build.models import locate
from punie_build.runtime import versions
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Facts, Lock


def facts(root: Path, task: Task, lock: Lock | None = None) -> Facts:
    """Everything that decides the target as it is now."""
    inputs = {place: read(root, task, place) for place in task.inputs}
    return given(task, inputs | base(root, task), versions.for_kind(task.kind, task.spec), lock)


def read(root: Path, task: Task, place: str) -> str:
    """The digest of what a task reads there. A temporary target that is gone is what its lock says of it."""
    if place in task.gone and not there(root, place) and (lock := locks.read(root / paths.lock(place))):
        return digests.of_listing(lock.outputs, task.reads_in(place))
    return digests.of_input(root, place, task.reads_in(place))


def given(task: Task, inputs: dict[str, str], made_with: Mapping[str, str], lock: Lock | None = None) -> Facts:
    """The facts of a task whose inputs and tools are these.

    A lock that was written before a field of recipes existed says nothing of it. If the field has its default, that is no change:
    the facts are then those of the lock, or a new knob of punie-build would retrain every adapter.
    """
    code = fingerprint.code(task.kind, (task.spec, *task.uses))
    now = Facts(kind=task.kind, recipe=task.config, code=code, inputs=inputs, tools=dict(made_with))
    before = as_before(task, lock, now)
    return before if lock and before.key == lock.key else now


def as_before(task: Task, lock: Lock | None, now: Facts) -> Facts:
    """The facts without the fields that the lock does not know and that have their default."""
    if lock is None or lock.key == now.key:
        return now
    return structs.replace(now, recipe=_known(task.spec, now.recipe, lock.facts.recipe))


def _known(spec: Any, now: Any, before: Any) -> Any:
    if isinstance(spec, Struct) and isinstance(now, dict) and isinstance(before, dict):
        fields = {field.encode_name: field for field in structs.fields(spec)}
        return {
            name: _known(getattr(spec, fields[name].name), value, before.get(name)) if name in fields else value
            for name, value in now.items()
            if name in before or name not in fields or not _is_default(fields[name], getattr(spec, fields[name].name))
        }
    if isinstance(spec, tuple) and isinstance(before, list) and len(spec) == len(now) == len(before):
        return [_known(*three) for three in zip(spec, now, before, strict=True)]
    return now


def _is_default(field: structs.FieldInfo, value: Any) -> bool:
    if field.default_factory is not NODEFAULT:
        return bool(field.default_factory() == value)
    return field.default is not NODEFAULT and bool(field.default == value)


def changes(task: Task, lock: Lock, now: Facts) -> tuple[str, ...]:
    """What changed since the lock, value by value."""
    return tuple(explain.differences(lock.facts, as_before(task, lock, now)))


def base(root: Path, task: Task, pointers: bool = False) -> dict[str, str]:
    """The identity of the base a task starts from, if any, among its inputs, unless it is made here and is one of them; and of the one
    that drafts for it."""
    named = {"base": task.base, "draft": task.draft}
    return {
        name: locate.identity(root, each, pointers)
        for name, each in named.items()
        if each and each.path not in task.inputs
    }


def state(root: Path, task: Task) -> str:
    lock = locks.read(root / paths.lock(task.target))
    return compared(root, task, lock, facts(root, task, lock))


def compared(root: Path, task: Task, lock: Lock | None, now: Facts) -> str:
    """The state of a target whose lock and facts are known."""
    if (root / paths.forgotten(task.target)).exists():
        return "forgotten"
    here = there(root, task.target)
    if lock is None or not (here or task.temporary):
        return "absent"
    if lock.key != now.key:
        return "stale" if here else "absent"
    if not here:
        return "spent"
    return "current" if digests.of_target(root / task.target, task.target) == lock.outputs else "edited"


def there(root: Path, target: str) -> bool:
    """Whether a target is there: something of it, beside what people wrote into its card."""
    folder, views = root / target, paths.views(target)
    return folder.is_dir() and not (views and all(path.name in views for path in folder.iterdir()))


def forget(root: Path, task: Task) -> None:
    """The next build makes the target, whatever the store has."""
    mark = root / paths.forgotten(task.target)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def clean(root: Path, task: Task) -> None:
    """Remove a target, at once, but for what people wrote into its card. Its lock stays: it is what git knows of the target, and
    the next build restores what it names."""
    import shutil

    words = card_notes.read(task.target, root / task.target)
    gone = root / f"{paths.staging(task.target)}.gone"
    shutil.rmtree(gone, ignore_errors=True)
    gone.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (root / task.target).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    card_notes.write(words, root / task.target)
