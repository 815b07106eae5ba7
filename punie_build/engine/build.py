"""Build: the layer between doit and the steps. It alone publishes targets.

A build locks the target, looks again, restores what the key gave before, or else runs the step in a staging folder and
checks that the inputs did not change meanwhile. It stores the result, swaps the folder in and writes the lock last. A
kill at any instant leaves the old target, or one whose digests disagree with its lock and which is built again."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from punie_build.engine import build_record, card_notes, executor, gates, memory, renamed
from punie_build.engine import state as states
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.engine.work import Work
from punie_build.errors import PunieError, join_first
from punie_build.runtime import device_lock, idle, versions
from punie_build.storage import digests, locks, paths, store
from punie_build.storage.atomic import remove, replace_folder
from punie_build.storage.locks import KeyInputs, Lock

NOT_BUILT = "not built before"
MAX_NAMED = 5  # files that are kept aside, in a message


class Outcome(Struct, frozen=True, kw_only=True):
    """Describe the result of a build. `action` is `current`, `restored` or `ran`; `seconds` is how long it took,
    `saved` how long a restored target took when it was made; `reasons` are the values that changed."""

    action: str
    message: str = ""
    seconds: float = 0.0
    saved: float = 0.0
    key: str = ""
    reasons: tuple[str, ...] = ()


class BadMetricError(PunieError):
    """A metric is infinite or not a number: no gate could be held to it."""


class EmptyTargetError(PunieError):
    """A step wrote no file: a lock without outputs is none, so the target would count as never built."""


class ExpectationError(PunieError):
    """The metrics of data differ from what its recipe expects."""


class StoreLostError(PunieError):
    """The shared store did not keep what a worker put into it."""


class InputChangedError(PunieError):
    """An input was edited while the step ran: the result belongs neither to the old input nor to the new one."""


class InputRemovedError(InputChangedError):
    """A temporary input is not there: it was removed after its use, and now a step needs it that was to be restored."""


def build_with_inputs(root: Path, task: AnyTask, tasks: Sequence[AnyTask], *, afresh: bool = False) -> Outcome:
    """Build as `build` does. If temporary inputs are not there, because the plan was to restore the target and the
    store has lost it, build them first. `tasks` are those of the project, in the order of the graph."""
    try:
        return build(root, task, afresh=afresh)
    except InputRemovedError:
        for each in tasks:
            if each.target in task.temporary_inputs and not states.exists(root, each.target):
                work_of(root, task).say(f"the store has lost it: its temporary input {each.target} is built first")
                build_with_inputs(root, each, tasks)
        return build(root, task, afresh=afresh)


def build(root: Path, task: AnyTask, *, afresh: bool = False) -> Outcome:
    """Make the target if it is not current. With `afresh` it is made in any case, and not restored."""
    started = time.monotonic()
    work = work_of(root, task)
    with lock_target(work):
        old = locks.read(root / paths.lock(task.target))
        memory.restore_torn(work, old)
        current = states.key_inputs(root, task, old)
        state = states.status(root, task, old, current)
        afresh = afresh or state == "forgotten"
        since = states.forgotten_at(root, task) if state == "forgotten" else math.inf
        work = structs.replace(work, afresh=afresh, since=since)
        if state == "current" and not afresh:
            assert old is not None, "a current target has a lock"
            _check_expectations(task, old)
            return Outcome(action="current", key=current.key)
        reasons = _reasons(task, state, old, current)
        build_record.commit_of(root)  # as it is before this build writes anything
        try:
            _make_empty(work.out)
            is_doubtful = _is_doubtful(work, old, current.key)
            first = None if afresh or is_doubtful else store.restore(root, current.key, work.out, old)
            if first:
                action, message = "restored", "restored from the store"
            elif not (afresh or is_doubtful) and (equal := renamed.restore(root, task, current, work.out)):
                action, (first, name) = "restored", equal
                message = f"restored from the store, where it is {name}"
                store.put(root, work.out, first)
            else:
                action, (first, message) = "ran", _compute(work, old, current, reasons)
            lock = memory.continued(task, first)
            if action == "ran" and not task.temporary:
                for each in (lock, first) if first.key != lock.key else (lock,):  # a checkout without memory finds it
                    store.put(root, work.out, each)
            _check_expectations(task, lock, message)
            _keep_aside(work, old)
            card_notes.carry(task.target, root / task.target, work.out)
            replace_folder(work.out, root / task.target)
        finally:
            shutil.rmtree(work.out, ignore_errors=True)
        memory.publish(root, task)
        if not (old and is_equal(task, old, lock)):  # else git has nothing to commit
            locks.write(root / paths.lock(task.target), lock)
        else:
            os.utime(root / paths.lock(task.target))  # pages and cards older than it are drawn again
        is_remote = action == "ran" and executor.of_task(root, task) is not None
        worker = "a worker of the cluster" if is_remote else ""
        build_record.write(root, task.target, lock.key, restored=action == "restored", worker=worker)
        (root / paths.forgotten(task.target)).unlink(missing_ok=True)
    return Outcome(
        action=action,
        message=message,
        seconds=time.monotonic() - started,
        saved=lock.seconds if action == "restored" else 0.0,
        key=lock.key,
        reasons=reasons,
    )


def is_equal(task: AnyTask, old: Lock, lock: Lock) -> bool:
    """Return whether two locks of a task differ only in how their runs went: how long, and from which batch."""
    results = ({k: v for k, v in each.metrics.items() if k not in task.kind.history} for each in (old, lock))
    return (old.key, old.outputs) == (lock.key, lock.outputs) and next(results) == next(results)


def build_to_store(root: Path, task: AnyTask) -> Lock:
    """Make a target for the store alone, if the store lacks it: a check before a build makes what the build then
    restores."""
    work = work_of(root, task)
    with lock_target(work):
        old = locks.read(root / paths.lock(task.target))
        current = states.key_inputs(root, task, old)
        if stored := store.find(root, current.key, old):
            return stored
        try:
            lock = memory.continued(task, _run(work, old, current, ())[0])
            store.put(root, work.out, lock)
        finally:
            shutil.rmtree(work.out, ignore_errors=True)
    return lock


def _is_doubtful(work: Work[Any], old: Lock | None, key: str) -> bool:
    """Return whether the lock and the store name other files for one key, of a kind whose code gives equal files: then
    one of them was changed by hand, and the step tells which."""
    stored = store.recorded(work.root, key) if old and old.key == key and work.task.kind.version is None else None
    if old is None or stored is None or stored.outputs == old.outputs:
        return False
    work.say("its lock and the store name different files for one key - built again to see which of them is right")
    return True


def work_of(root: Path, task: AnyTask) -> Work[Any]:
    return Work(root=root, task=task, out=root / paths.staging(task.target), logs=root / paths.logs(task.target))


def _check_expectations(task: AnyTask, lock: Lock, message: str = "") -> None:
    """Raise ExpectationError if the metrics are not those that the recipe expects. The result stays in the store."""
    details = f" ({message})" if message else ""
    if problems := gates.unmet_expectations(task.spec, lock.metrics):
        raise ExpectationError(
            "\n".join(f"{task.file}: {task.kind.name}.{task.name}.{problem}{details}" for problem in problems)
            + "\nnot published - fix the data, or change `expect`"
        )


def _keep_aside(work: Work[Any], old: Lock | None) -> None:
    """Copy what people put into the target, or in its place, to `.punie/replaced`, and say so: files that neither the
    lock nor the store has."""
    target, aside = work.root / work.task.target, work.root / paths.replaced(work.task.target)
    if target.is_symlink() or not target.exists():
        return  # what a link leads to stays
    if target.is_file():
        present = {"": digests.of_file(target)}
    else:
        present = digests.of_target(target, work.task.target) if target.is_dir() else {}
    recorded = old.outputs if old else {}
    foreign = [
        name
        for name, digest in present.items()
        if recorded.get(name) != digest and not store.blob(work.root, digest).exists()
    ]
    if not foreign:
        return
    remove(aside)
    for name in foreign:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        store.copy(target / name, aside / name)
    names = join_first(foreign, MAX_NAMED) or "the file"
    work.say(f"kept in {paths.replaced(work.task.target)}, for it was not built here: {names}")


def _reasons(task: AnyTask, state: str, old: Lock | None, current: KeyInputs) -> tuple[str, ...]:
    if state == "edited":
        return ("its files were edited",)
    if state == "forgotten":
        return ("it was forgotten",)
    return states.changes(task, old, current) if old else (NOT_BUILT,)


def _compute(work: Work[Any], old: Lock | None, current: KeyInputs, reasons: tuple[str, ...]) -> tuple[Lock, str]:
    """Run the step here or, where an executor is set, have it run there and restore its result. Return its lock and
    message."""
    remote = executor.of_task(work.root, work.task)
    if remote is None:
        return _run(work, old, current, reasons)
    message = remote.compute(work, current, old)
    return restore_result(work, old, current), message


def restore_result(work: Work[Any], old: Lock | None, current: KeyInputs) -> Lock:
    """Copy what a worker made from the shared store into the staging folder, and return its lock."""
    _make_empty(work.out)
    lock = store.restore(work.root, current.key, work.out)
    if lock is None:
        raise StoreLostError("a worker made it, but the shared store does not give it back - see its warning")
    if states.key_inputs(work.root, work.task, old) != current:
        raise InputChangedError("an input changed during this step - build again")
    return lock


def _run(work: Work[Any], old: Lock | None, current: KeyInputs, reasons: tuple[str, ...]) -> tuple[Lock, str]:
    """Run the step in the staging folder. Return its lock and message, if the inputs are still those it started
    from."""
    task = work.task
    remove(work.logs)
    for reason in reasons:
        if reason != NOT_BUILT:
            work.say(f"because {reason}")
    if missing := [path for path in task.temporary_inputs if not (work.root / path).exists()]:
        raise InputRemovedError(f"{', '.join(missing)}: temporary, and removed meanwhile - build again")
    _make_empty(work.out)
    if task.kind.check_first:
        resolve(task.kind.check_first)(work)
    step, stamps = resolve(task.kind.step), states.input_stamps(work.root, task)
    with device_lock.hold(task.kind.exclusive, versions.device(), work.say):
        if task.kind.exclusive:
            idle.release()
        started = time.monotonic()
        result = (
            _in_worker(step, work, current) if task.kind.in_worker else step(structs.replace(work, key_inputs=current))
        )
        seconds = round(time.monotonic() - started + result.earlier_seconds, 2)
    _check_inputs(work, old, current, stamps)
    outputs = digests.of_target(work.out, task.target)
    if not outputs:
        raise EmptyTargetError("the step wrote no file - write one, whose name is not hidden, into `work.out`")
    metrics = {name: float(value) for name, value in result.metrics.items()}
    if invalid := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise BadMetricError(
            f"{', '.join(invalid)}: not a finite number, so no gate can judge the result - read the log"
        )
    return Lock(key=current.key, key_inputs=current, outputs=outputs, metrics=metrics, seconds=seconds), result.message


def _check_inputs(work: Work[Any], old: Lock | None, current: KeyInputs, stamps: dict[str, digests.Stamp]) -> None:
    """Raise InputChangedError if the inputs are not those that a step started from, or were not for a while."""
    if states.key_inputs(work.root, work.task, old) != current:
        raise InputChangedError("an input changed during this step - build again")
    after = states.input_stamps(work.root, work.task)
    if written := [path for path, stamp in stamps.items() if after.get(path) != stamp]:
        states.forget(work.root, work.task)  # what a training or a cache has of it is not to be believed either
        names = join_first(written, MAX_NAMED)
        raise InputChangedError(f"written during this step, though they are as they were: {names} - build again")


def _in_worker(step: Any, work: Work[Any], current: KeyInputs) -> Any:
    from punie_build.runtime import worker_pool

    return worker_pool.run(step, structs.replace(work, key_inputs=current))


@contextmanager
def lock_target(work: Work[Any]) -> Iterator[None]:
    """Be the only process and thread that builds this target; wait, and say so, while another one does."""
    from filelock import FileLock, Timeout  # it imports asyncio: 15 ms that a build with nothing to do need not pay

    path = work.root / paths.build_lock(work.task.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        work.say("waiting for another build of this target")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_empty(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)
