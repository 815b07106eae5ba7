"""Memory: the file beside a target in which its step keeps what the next build must not decide anew, such as splits.

It is a file of the target as well, so the store has it, and a torn one is written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

from punie_build.engine.task import AnyTask
from punie_build.engine.work import Work
from punie_build.storage import paths, store
from punie_build.storage.atomic import replace_file
from punie_build.storage.locks import Lock


def publish(root: Path, task: AnyTask) -> None:
    """Put what the step remembers for the next build beside its target, where people commit it."""
    remembered = root / task.target / paths.SPLITS_LOCK
    if task.remembers and remembered.exists():
        replace_file(root / task.remembers, remembered.read_bytes())


def continued(task: AnyTask, lock: Lock) -> Lock:
    """Return the lock with what the step remembers among its inputs: with it the next build gives the same result, so
    the key is that of the next build."""
    remembered = lock.outputs.get(paths.SPLITS_LOCK) if task.remembers else None
    if remembered is None:
        return lock
    inputs = lock.key_inputs.inputs | {task.remembers: remembered}
    key_inputs = structs.replace(lock.key_inputs, inputs=inputs)
    return structs.replace(lock, key=key_inputs.key, key_inputs=key_inputs)


def restore_torn(work: Work[Any], old: Lock | None) -> None:
    """Write the memory beside a target again, from the store or the target, if a power cut left part of it there: it is
    empty, ends in zeros or within a line, and is the beginning of what was written."""
    root, task = work.root, work.task
    path, inner = root / task.remembers, root / task.target / paths.SPLITS_LOCK
    if not (task.remembers and path.is_file()):
        return
    content = path.read_bytes()
    if content.endswith(b"\n"):
        return
    recorded = old.outputs.get(paths.SPLITS_LOCK) if old else None
    whole = store.read(root, recorded) if recorded else None
    whole = inner.read_bytes() if whole is None and inner.is_file() else whole
    if whole and whole.endswith(b"\n") and whole.startswith(content.rstrip(b"\0")):
        replace_file(path, whole)
        work.say(f"{task.remembers}: torn, most likely by a power cut - written again as it was")
