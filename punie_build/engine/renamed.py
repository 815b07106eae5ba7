"""Renamed entries: a result that was built under other names, of the same recipe and equal inputs.

The names of entries are in keys: a model of the adapter `v1` has another key than one of `v2`, though both adapters
have the same bytes. Kinds whose files hold no name (`ArtifactKind.nameless`) are looked up without names: among the
locks of their folder, where the lock of the old name is until `punie-build prune`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import AnyTask
from punie_build.schema.spec import digest
from punie_build.storage import locks, paths, store
from punie_build.storage.locks import KeyInputs, Lock


def find(root: Path, task: AnyTask, current: KeyInputs) -> Lock | None:
    """Return the lock of an equal result under other names, whose files the store has, with the key of today."""
    for lock in _equal(root, task, current).values():
        if store.find(root, lock.key, lock):
            return _with_key(lock, current)
    return None


def restore(root: Path, task: AnyTask, current: KeyInputs, out: Path) -> tuple[Lock, str] | None:
    """Copy the files of an equal result into the empty folder `out`. Return its lock with the key of today, and the
    target that it was built as; None if there is none."""
    for target, lock in _equal(root, task, current).items():
        if store.restore(root, lock.key, out, lock):
            return _with_key(lock, current), target
    return None


def _equal(root: Path, task: AnyTask, current: KeyInputs) -> dict[str, Lock]:
    """Return the locks of equal results, by target; none of files that a person accepted as they were."""
    return dict(_with_digest(root, task.kind, _digest(task.kind, current))) if task.kind.nameless else {}


def _with_digest(root: Path, kind: ArtifactKind, wanted: str) -> Iterator[tuple[str, Lock]]:
    for path in locks.present(root, [kind.folder]):
        lock = locks.read(path)
        if (
            lock
            and not lock.accepted
            and lock.key_inputs.kind == kind.name
            and _digest(kind, lock.key_inputs) == wanted
        ):
            yield path.relative_to(root).as_posix().removesuffix(paths.LOCK), lock


def _with_key(lock: Lock, current: KeyInputs) -> Lock:
    return structs.replace(lock, key=current.key, key_inputs=current)


def _digest(kind: ArtifactKind, key_inputs: KeyInputs) -> str:
    """Return the digest of key inputs without names of entries: an input is its folder and its digest, a reference the
    digests of the inputs with its name."""
    named: dict[str, list[str]] = defaultdict(list)
    inputs = []
    for path, identity in key_inputs.inputs.items():
        folder, _, name = path.partition("/")
        inputs.append([folder, identity])
        named[name].append(identity)
    recipe = {
        field: [sorted(named[value])]
        if field in kind.references and isinstance(value, str) and value in named
        else value
        for field, value in key_inputs.recipe.items()
    }
    return digest([recipe, key_inputs.code, sorted(inputs), key_inputs.tools])
