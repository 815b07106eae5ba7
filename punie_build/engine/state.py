"""State: whether a target is what its recipe, code, inputs and tools give now, judged by the files that are here.

    current     its lock has the key of today, and its files are those in the lock
    absent      never built, or removed
    removed     temporary, and removed when every task that reads it was built
    stale       built from another recipe, other code, inputs or tools
    edited      its files are not those that were built
    forgotten   `doit forget`: to be built again, not restored

`plan` asks the same of a whole project before anything is built. Only `plan` knows whether something needs a removed
target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct, structs

from punie_build.engine import card_notes, fingerprint
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import AnyTask
from punie_build.runtime import versions
from punie_build.schema.spec import classes
from punie_build.storage import digests, locks, paths
from punie_build.storage.atomic import remove
from punie_build.storage.locks import KeyInputs, Lock


def key_inputs(root: Path, task: AnyTask, lock: Lock | None = None) -> KeyInputs:
    """Return everything that decides the target as it is now."""
    inputs = {path: input_digest(root, task, path) for path in task.inputs}
    return expected(task, inputs | external_inputs(root, task), tools(task.kind, task.classes), lock)


def input_digest(root: Path, task: AnyTask, path: str) -> str:
    """Return the digest of what a task reads at a path. For a temporary target that was removed it is the one in its
    lock."""
    target = paths.holder(path, task.temporary_inputs)
    if target and not exists(root, target) and (lock := locks.read(root / paths.lock(target))):
        return digests.of_part(lock.outputs, target, path, task.files_read(path))
    return digests.of_input(root, path, task.files_read(path))


def input_stamps(root: Path, task: AnyTask) -> dict[str, digests.Stamp]:
    """Return inode, size and times of each file that a task may read. They tell of a change that was taken back."""
    found: dict[str, digests.Stamp] = {}
    for path in task.inputs:
        files = digests.stamps_of(root / path, (*paths.views(path),))
        only = task.files_read(path)
        found |= {
            f"{path}/{name}" if name else path: stamp for name, stamp in files.items() if not only or name in only
        }
    for name, external in task.external.items():
        folder = external.present(root) if external.path not in task.inputs else None
        files = digests.stamps_of(folder) if folder else {}
        found |= {f"{name} {file}": stamp for file, stamp in files.items()}
    return found


def external_inputs(root: Path, task: AnyTask, pointers: bool = False) -> dict[str, str]:
    """Return the identity of each external input; one that is built here is among the other inputs already."""
    return {
        name: external.identity(root, pointers)
        for name, external in task.external.items()
        if external.path not in task.inputs
    }


def tools(kind: ArtifactKind, of: frozenset[type[Struct]]) -> dict[str, str]:
    """Return name -> version of the tools that decide the bytes, without importing them. A filter names its packages in
    `PACKAGES`."""
    return _versions(of, kind.packages) | (kind.environment() if kind.environment else {})


@cache
def _versions(of: frozenset[type[Struct]], packages: tuple[str, ...]) -> dict[str, str]:
    names = {name for each in of for name in getattr(each, "PACKAGES", ())}
    return {name: versions.version(name) for name in sorted({*names, *packages})}


def expected(
    task: AnyTask, inputs: dict[str, str], used_tools: Mapping[str, str], lock: Lock | None = None
) -> KeyInputs:
    """Return the key inputs of a task that has these inputs and tools.

    A lock that was written before a field of recipes existed does not have that field. With its default the field is no
    change, or every new field of punie-build would retrain every adapter: the key inputs are then those of the lock.
    The same holds for a field whose default was another one (`FORMER_DEFAULTS` of a spec): a step builds what its key
    inputs say.
    """
    of = task.classes | classes((*task.uses.values(),)) if task.kind.version is None else task.classes
    code = fingerprint.code(task.kind, of)
    current = KeyInputs(kind=task.kind.name, recipe=task.recipe, code=code, inputs=inputs, tools=dict(used_tools))
    before = without_new_defaults(task, lock, current)
    return before if lock and before.key == lock.key else current


def without_new_defaults(task: AnyTask, lock: Lock | None, current: KeyInputs) -> KeyInputs:
    """Return the key inputs without the fields that the lock does not have and that have their defaults, and with the
    former defaults that the lock has."""
    if lock is None or lock.key == current.key:
        return current
    return structs.replace(current, recipe=_fields_of_lock(task.spec, current.recipe, lock.key_inputs.recipe))


def _fields_of_lock(spec: Any, current: Any, recorded: Any) -> Any:
    if isinstance(spec, Struct) and isinstance(current, dict) and isinstance(recorded, dict):
        fields = {field.encode_name: field for field in structs.fields(spec)}
        former = {
            name: value
            for name, value in getattr(type(spec), "FORMER_DEFAULTS", {}).items()
            if recorded.get(name) == value and _is_default(fields[name], current.get(name))
        }
        return {
            name: former[name]
            if name in former
            else _fields_of_lock(getattr(spec, fields[name].name), value, recorded.get(name))
            if name in fields
            else value
            for name, value in current.items()
            if name in recorded or name not in fields or not _is_default(fields[name], getattr(spec, fields[name].name))
        }
    if isinstance(spec, tuple) and isinstance(recorded, list) and len(spec) == len(current) == len(recorded):
        return [_fields_of_lock(*items) for items in zip(spec, current, recorded, strict=True)]
    return current


def _is_default(field: structs.FieldInfo, value: Any) -> bool:
    if field.default_factory is not NODEFAULT:
        return bool(field.default_factory() == value)
    return field.default is not NODEFAULT and bool(field.default == value)


def changes(task: AnyTask, lock: Lock, current: KeyInputs) -> tuple[str, ...]:
    """Return the changes since the lock, value by value."""
    if lock.key == current.key:
        return ()
    from punie_build.engine import explain

    return tuple(explain.differences(lock.key_inputs, without_new_defaults(task, lock, current)))


def state(root: Path, task: AnyTask) -> str:
    """Return the state of a target, read from the files that are here."""
    lock = locks.read(root / paths.lock(task.target))
    return status(root, task, lock, key_inputs(root, task, lock))


def status(root: Path, task: AnyTask, lock: Lock | None, current: KeyInputs) -> str:
    """Return the state of a target whose lock and key inputs are known."""
    if os.path.exists(f"{root}/{paths.forgotten(task.target)}"):
        return "forgotten"
    present = exists(root, task.target)
    if lock is None or not (present or task.temporary):
        return "absent"
    if lock.key != current.key:
        return "stale" if present else "absent"
    if not present:
        return "removed"
    return "current" if digests.of_target(f"{root}/{task.target}", task.target) == lock.outputs else "edited"


def exists(root: Path, target: str) -> bool:
    """Whether a target has files, apart from the notes that people wrote into its card."""
    folder, views = os.path.join(root, target), paths.views(target)
    return os.path.isdir(folder) and not (views and all(name in views for name in os.listdir(folder)))


def forget(root: Path, task: AnyTask) -> None:
    """Mark a target: the next build makes it, whatever the store has."""
    mark = root / paths.forgotten(task.target)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def forgotten_at(root: Path, task: AnyTask) -> float:
    """Return when a target was forgotten, in seconds since 1970."""
    return os.stat(f"{root}/{paths.forgotten(task.target)}").st_mtime


def clean(root: Path, task: AnyTask) -> None:
    """Remove a target at once, except the notes in its card. Its lock stays: it is what git knows of the target, and
    the next build restores what the lock names."""
    notes = card_notes.read(task.target, root / task.target)
    folder = root / task.target
    removed = folder.with_name(f".{folder.name}.removed")  # beside it: the target may be on another disk
    remove(removed)
    with suppress(FileNotFoundError):
        folder.rename(removed)
    remove(removed)
    card_notes.write(notes, root / task.target)
