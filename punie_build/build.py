"""Build: the stage layer between doit and the steps. It alone decides what is current, and it alone publishes.

A target is current when its lock names the key that recipe, code, inputs and tools give now, and its files are the ones
the lock names. To build: hold the target's lock file, look again, restore what the key gave before, else run the step in a
staging folder and make sure the inputs did not change meanwhile; keep it in the store, swap the folder in, write the lock last. A kill at any instant leaves the old target, or one whose
digests disagree with the lock and which is made again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock
from msgspec import Struct

from punie_build import bases, blas, digests, fingerprint, layout, locks, store
from punie_build.errors import PunieError
from punie_build.graph import Task
from punie_build.locks import Facts, Lock

COMPUTES = ("adapter", "eval")  # kinds whose bytes depend on mlx and on what it runs on


class Work(Struct, frozen=True, kw_only=True):
    """What a step is given: the task, the project, where to write, where to log."""

    root: Path
    task: Task
    out: Path
    logs: Path


Step = Callable[[Work], str]  # returns one line on what came out


class ChangedError(PunieError):
    """An input was edited while the step ran: what it made is neither the old nor the new."""


def facts(root: Path, task: Task) -> Facts:
    """Everything that decides the target as it is now."""
    inputs = {place: digests.of_tree(root / place) for place in task.inputs}
    if task.base:
        inputs["base"] = bases.identity(root, task.base)
    return Facts(
        kind=task.kind,
        recipe=task.config,
        code=fingerprint.code(task.kind),
        inputs=inputs,
        tools=tools() if task.kind in COMPUTES else {},
    )


def tools() -> dict[str, str]:
    """Versions and device, without importing any of them."""
    device = "metal" if sys.platform == "darwin" else "cpu"
    return {"mlx": _version("mlx"), "mlx-lm": _version("mlx-lm"), "device": device, "blas": blas.identity()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def state(root: Path, task: Task) -> str:
    """`current`, `absent`, `stale` (made from something else) or `edited` (not the files that were made)."""
    lock = locks.read(root / layout.lock(task.target))
    if lock is None or not (root / task.target).is_dir():
        return "absent"
    if lock.key != facts(root, task).key:
        return "stale"
    return "current" if digests.of_folder(root / task.target) == lock.outputs else "edited"


def build(root: Path, task: Task, step: Step) -> str | None:
    """Make the target if it is not current; what the step says of it, or None if there was nothing to do."""
    guard = root / layout.STATE / "locks" / f"{task.target}.lock"
    guard.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(guard):
        if state(root, task) == "current":
            return None
        before = facts(root, task)
        out = _staging(root, task)
        if lock := store.restore(root, before.key, out):
            said = f"restored from the store, {lock.seconds:.0f} s saved"
        else:
            lock, said = _run(root, task, step, before)
            store.put(root, out, lock)
        publish(out, root / task.target)
        locks.write(root / layout.lock(task.target), lock)
        return said


def _run(root: Path, task: Task, step: Step, before: Facts) -> tuple[Lock, str]:
    """Run the step in the staging folder; its lock, if the inputs are still those it started from."""
    out, started = _staging(root, task), time.monotonic()
    said = step(Work(root=root, task=task, out=out, logs=root / layout.STATE / "logs" / task.target))
    seconds = round(time.monotonic() - started, 2)
    if facts(root, task) != before:
        raise ChangedError(f"{task.label}: an input changed while this was being made - build again")
    return Lock(key=before.key, facts=before, outputs=digests.of_folder(out), seconds=seconds), said


def _staging(root: Path, task: Task) -> Path:
    """The target's staging folder, empty."""
    out = root / layout.staging(task.target)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return out


def publish(made: Path, target: Path) -> None:
    """Put a finished folder in a target's place: at every instant the target is the old one or the new one, whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        made.rename(target)
    elif _exchange(made, target):
        shutil.rmtree(made, ignore_errors=True)
    else:  # a file system that cannot: for an instant there is none, which the lock tells
        old = made.with_name(made.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        made.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux `renameat2`, macOS `renamex_np`); whether the system could."""
    library = ctypes.CDLL(None)
    one, two = os.fsencode(a), os.fsencode(b)
    try:
        if sys.platform == "linux":
            return bool(library.renameat2(-100, one, -100, two, 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE
        if sys.platform == "darwin":
            return bool(library.renamex_np(one, two, 2) == 0)  # RENAME_SWAP
    except AttributeError:
        pass
    return False


def clean(root: Path, task: Task) -> None:
    """Remove a target and its lock."""
    (root / layout.lock(task.target)).unlink(missing_ok=True)
    shutil.rmtree(root / task.target, ignore_errors=True)
