"""Renamed entries: a result that was built under other names, of the same recipe and equal inputs.

The names of entries are in keys: a model of the adapter `v1` has another key than one of `v2`, though both adapters
have the same bytes. Kinds whose files hold no name, or whose `rename` rewrites it (`ArtifactKind.nameless`), are looked
up without names: among the locks of their folder, where the lock of the old name is until `punie-build prune`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from msgspec import structs

from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.schema.spec import digest
from punie_build.storage import digests, locks, paths, store
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
            found = _with_key(lock, current)
            if task.kind.rename:
                resolve(task.kind.rename)(out, task.spec)
                found = structs.replace(found, outputs=digests.of_folder(out))
            return found, target
    return None


def _equal(root: Path, task: AnyTask, current: KeyInputs) -> dict[str, Lock]:
    """Return the locks of equal results, by target; none of files that a person accepted as they were."""
    if not task.kind.nameless:
        return {}
    wanted = _digest(current, tuple(task.kind.references))
    found = {}
    for path in locks.present(root, [task.kind.folder]):
        if path.name.endswith(f"{task.kind.suffix}{paths.LOCK}") and (stamp := digests.stamps_of(path)):
            lock, its_digest = _read(str(path), stamp[""], tuple(task.kind.references))
            if lock and its_digest == wanted and not lock.accepted and lock.key_inputs.kind == current.kind:
                found[path.relative_to(root).as_posix().removesuffix(paths.LOCK)] = lock
    return found


@lru_cache(maxsize=10_000)
def _read(path: str, _stamp: digests.Stamp, references: tuple[str, ...]) -> tuple[Lock | None, str]:
    """Return a lock and the digest of its key inputs, which are read again where the stamp of the file is another."""
    lock = locks.read(path)
    return lock, _digest(lock.key_inputs, references) if lock else ""


def _with_key(lock: Lock, current: KeyInputs) -> Lock:
    return structs.replace(lock, key=current.key, key_inputs=current)


def _digest(key_inputs: KeyInputs, references: Collection[str]) -> str:
    """Return the digest of key inputs without names of entries: an input is its folder and its digest, the value of a
    field that is a reference the digests of the inputs with its name."""
    named: dict[str, list[str]] = defaultdict(list)
    inputs = []
    for path, identity in key_inputs.inputs.items():
        folder, _, name = path.partition("/")
        inputs.append([folder, identity])
        named[name].append(identity)
    recipe = {
        field: [sorted(named[value])] if field in references and isinstance(value, str) and value in named else value
        for field, value in key_inputs.recipe.items()
    }
    return digest([recipe, key_inputs.code, sorted(inputs), key_inputs.tools])
