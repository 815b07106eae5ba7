"""Request: a task that another machine builds, with the digests of all that it reads, and the reply to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from punie_build.engine import state as states
from punie_build.engine.task import AnyTask
from punie_build.engine.work import Work
from punie_build.errors import PunieError
from punie_build.storage import digests, locks, paths, settings, store
from punie_build.storage.locks import KeyInputs, Lock
from punie_build.storage.settings import Settings


class ClusterError(PunieError):
    """A task could not be sent to a cluster, or not be built there."""


class Request(Struct, frozen=True, kw_only=True):
    """One task. `locks` are those of the targets that it reads, by target, and `files` the digests of the other files
    that it reads, by path: the store has all of them. `old` is the lock of the target before this build.

    `part`: compute the part of this number, from 1, and not the target. `lines`: the lines of all parts, by the file in
    the project that gets them."""

    task: AnyTask
    current: KeyInputs
    store: Settings
    project: str
    afresh: bool = False
    locks: dict[str, Lock] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    old: Lock | None = None
    part: int = 0
    lines: dict[str, bytes] = field(default_factory=dict)


class Reply(Struct, frozen=True, kw_only=True):
    """The result of a request: the message of the step, or an error, the logs by name, and the lines of a part."""

    message: str = ""
    error: str = ""
    logs: dict[str, str] = field(default_factory=dict)
    lines: dict[str, bytes] = field(default_factory=dict)


def request_of(work: Work[Any], current: KeyInputs, old: Lock | None, project: str) -> Request:
    """Return the request of a task, after what it reads was put into the shared store. Raises ClusterError."""
    root, task = work.root, work.task
    options = settings.load(root)
    places = [*task.inputs, *(each.path for each in task.external.values() if each.path)]
    targets = dict.fromkeys(task.needs.values())  # a step may look into any of them, such as a preflight
    records = {target: _shared_lock(root, target) for target in targets if states.exists(root, target)}
    files: dict[str, str] = {}
    for path in dict.fromkeys(places):
        if not paths.holder(path, targets):
            files |= _files(root, path)
    store.push_files(root, {root / path: digest for path, digest in files.items()})
    return Request(
        task=task,
        current=current,
        store=options,
        project=project,
        afresh=work.afresh,
        locks=records,
        files=files,
        old=old,
    )


def _files(root: Path, path: str) -> dict[str, str]:
    """Return the digests of the files at a path of the project, by path."""
    if Path(path).is_absolute():
        return {}  # a base outside the project: a worker must have it at this place
    place = root / path
    if place.is_dir():
        return {f"{path}/{name}": digest for name, digest in digests.of_folder(place).items()}
    return {path: digests.of_file(place)} if place.is_file() else {}


def _shared_lock(root: Path, target: str) -> Lock:
    """Return the lock of a target that the shared store has by now. Raises ClusterError."""
    lock = locks.read(root / paths.lock(target))
    if lock is None:
        raise ClusterError(f"{target}: has no lock - build it first")
    if not store.is_shared(root, lock):
        store.put(root, root / target, lock)
    if not store.is_shared(root, lock):
        raise ClusterError(f"{target}: the shared store does not take it, so no worker can read it - see its warning")
    return lock
