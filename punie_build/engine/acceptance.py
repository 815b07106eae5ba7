"""Acceptance: what a person declares to be the result of a recipe as it is now, without a build.

The lock says so: `accepted` has what differed from the lock before, so that a review and `punie-build check` see it.
"""

from __future__ import annotations

from pathlib import Path

from punie_build.engine import memory
from punie_build.engine import state as states
from punie_build.engine.build import NOT_BUILT, lock_target, work_of
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.errors import UseError
from punie_build.storage import digests, locks, paths, store
from punie_build.storage.locks import Lock


def accept(root: Path, task: AnyTask) -> tuple[str, ...]:
    """Write the lock of a target whose files are here, as if its recipe, code, inputs and tools had given them. Return
    what differed; nothing for a current target. Raise UseError if it has no files, or not those that its recipe asks
    for."""
    folder = root / task.target
    with lock_target(work_of(root, task)):
        old = locks.read(root / paths.lock(task.target))
        current = states.key_inputs(root, task, old)
        state = states.status(root, task, old, current)
        outputs = digests.of_target(folder, task.target) if states.exists(root, task.target) else {}
        if state == "current":
            return ()
        if not outputs:
            raise UseError(f"{task.label}: {task.target} has no files that could be accepted - build it")
        base = task.external.get("base")
        verify = resolve(task.kind.verify) if task.kind.verify else None
        if problems := list(verify(folder, task.spec, base.present(root) if base else None)) if verify else []:
            raise UseError(
                "\n".join(f"{problem} - not accepted: correct the recipe or the files" for problem in problems)
            )
        reasons = (*states.changes(task, old, current),) if old else (NOT_BUILT,)
        reasons += ("its files were edited",) if old and outputs != old.outputs else ()
        measured = resolve(task.kind.measured)(folder) if task.kind.measured else {}
        lock = Lock(
            key=current.key,
            key_inputs=current,
            outputs=outputs,
            metrics=(old.metrics if old else {}) | measured,
            seconds=old.seconds if old else 0.0,
            accepted=reasons or (state,),
        )
        lock = memory.continued(task, lock)
        if not task.temporary:
            store.put(root, folder, lock)
        memory.publish(root, task)
        locks.write(root / paths.lock(task.target), lock)
        (root / paths.forgotten(task.target)).unlink(missing_ok=True)
    return lock.accepted or ()
