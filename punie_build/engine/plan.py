"""Plan: what a build would do, task by task, before anything runs, and why.

The inputs of a task are known as long as everything before it is current or can be restored. Behind a task that must
run they are not, and the plan says `maybe`: if that task gives the same bytes as before, the build stops there.

A temporary target that is removed counts as current as long as no task that reads it runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.engine import state as states
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.runtime.console import format_count, format_seconds
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import KeyInputs, Lock

UNKNOWN = "not built yet"  # in place of a digest


class Planned(Struct, frozen=True, kw_only=True):
    """One task of a plan. `action` is `current`, `restore`, `run` or `maybe`; `last_seconds` is how long its last run
    took, and the work is `ratio` times that of the last run."""

    task: AnyTask
    state: str
    action: str
    reasons: tuple[str, ...] = ()
    last_seconds: float | None = None
    ratio: float = 1.0

    @property
    def estimate(self) -> float | None:
        """How long a run takes, in seconds, as far as its last run tells."""
        return None if self.last_seconds is None else self.last_seconds * self.ratio

    @property
    def forecast(self) -> str:
        """Describe the work of a build, in words."""
        duration = f", {format_seconds(self.last_seconds)} last time" if self.last_seconds is not None else ""
        if self.estimate and self.ratio != 1:
            duration = f", about {format_seconds(self.estimate)}{duration} for {1 / self.ratio:.2g} times the work"
        match self.action:
            case "restore":
                return f"RESTORE{f', {format_seconds(self.last_seconds)} saved' if self.last_seconds else ''}"
            case "maybe":
                other = "nothing" if self.state == "waits" else "RESTORE"
                return f"RUN{duration}, or {other} if its inputs come out the same"
            case "run":
                return f"RUN{duration}"
        return "nothing to do"


FutureFiles = dict[str, dict[str, str] | None]  # target -> digest of each file that will be there; None: not known yet


def plan(root: Path, tasks: Sequence[AnyTask]) -> list[Planned]:
    """Return the plan of a build of these tasks. `tasks` are in the order of the graph: each after those it needs."""
    needed_removed: set[str] = set()  # removed targets whose files are needed
    while True:
        future: FutureFiles = {}
        planned = [_planned(root, task, future, needed_removed) for task in tasks]
        additional = set(_needed_removed_targets(planned)) - needed_removed
        if not additional:
            return planned
        needed_removed |= additional


def _needed_removed_targets(planned: Sequence[Planned]) -> Iterator[str]:
    """Yield the removed targets that a task which runs would read, and those that no task reads: they were asked for by
    name."""
    read = {path for item in planned for path in item.task.temporary_inputs}
    read_by_runs = {path for item in planned if item.action in ("run", "maybe") for path in item.task.temporary_inputs}
    for item in planned:
        target = item.task.target
        if item.state == "removed" and item.action == "current" and (target in read_by_runs or target not in read):
            yield target


def _planned(root: Path, task: AnyTask, future: FutureFiles, needed_removed: Collection[str] = ()) -> Planned:
    lock = locks.read(f"{root}/{paths.lock(task.target)}")
    inputs = {path: _input(root, path, task.files_read(path), future) for path in task.inputs}
    unknown = [path for path, digest in inputs.items() if digest == UNKNOWN]
    # assume that inputs which are not built yet will be unchanged
    inputs |= {path: lock.key_inputs.inputs[path] for path in unknown if lock and path in lock.key_inputs.inputs}
    external = states.external_inputs(root, task)
    current = states.expected(task, inputs | external, states.tools(task.kind, task.classes), lock)
    state = states.status(root, task, lock, current)
    is_spared = state == "removed" and task.target not in needed_removed
    stored = lock if is_spared else _available(root, task, state, current, lock)
    future[task.target] = stored.outputs if stored and not unknown else None
    reasons = [*states.changes(task, lock, current)] if lock else []
    last_seconds = lock.seconds if lock else None
    if stored is None:
        action = "run"
    elif unknown:
        action = "maybe"
        reasons += [f"{path} is built first" for path in unknown]
        state = "waits" if state == "current" else state
    else:
        action = "current" if state == "current" or is_spared else "restore"
        last_seconds = stored.seconds
    ratio = task.kind.work_ratio(task.spec, lock) if lock and task.kind.work_ratio and action != "restore" else 1.0
    if lock and task.kind.done_share and action in ("run", "maybe") and state != "forgotten":
        ratio *= 1 - resolve(task.kind.done_share)(root, task.spec, current, lock)
    return Planned(
        task=task, state=state, action=action, reasons=tuple(reasons), last_seconds=last_seconds, ratio=ratio
    )


def _available(root: Path, task: AnyTask, state: str, current: KeyInputs, lock: Lock | None) -> Lock | None:
    """Return the record of what is there without a run: the target itself, or what the store has."""
    if state == "current":
        return lock
    if state == "forgotten":
        return None
    from punie_build.engine import renamed
    from punie_build.storage import store

    return store.find(root, current.key, lock) or renamed.find(root, task, current)


def _input(root: Path, path: str, reads: tuple[str, ...], future: FutureFiles) -> str:
    target = paths.holder(path, future)
    if target is None:
        return digests.of_input(root, path, reads)
    files = future[target]
    if files is None:
        return UNKNOWN
    return digests.of_part(files, target, path, reads)


def summary(planned: Iterable[Planned]) -> str:
    """Return one line: how many tasks run, for about how long, how many are restored, how many may be cut off."""
    planned = list(planned)
    by_action = {
        action: [item for item in planned if item.action == action] for action in ("run", "restore", "maybe", "current")
    }
    if len(by_action["current"]) == len(planned):
        return f"{format_count(len(planned), 'artifact')}, all current" if planned else "no artifacts"
    parts = [f"{len(by_action['run'])} to run{_duration(by_action['run'])}"] if by_action["run"] else []
    if by_action["restore"]:
        parts.append(f"{len(by_action['restore'])} to restore")
    if by_action["maybe"]:
        longest = sum(item.estimate or 0 for item in by_action["maybe"])
        parts.append(f"{len(by_action['maybe'])} to run unless cut off (at most {format_seconds(longest)})")
    if by_action["current"]:
        parts.append(f"{len(by_action['current'])} current")
    return ", ".join(parts)


def _duration(running: Sequence[Planned]) -> str:
    """Return how long these take, by how long they took last time."""
    known = sum(item.estimate or 0 for item in running)
    new = sum(item.last_seconds is None for item in running)
    if not known:
        return ""
    return f" (about {format_seconds(known)}{f', and {new} for the first time' if new else ''})"


def unneeded(root: Path, tasks: Sequence[AnyTask], finished: AnyTask, pending: Collection[str]) -> list[AnyTask]:
    """Return the temporary targets that `finished` reads and no other task needs: every task that reads them is
    current, and none of those is pending (by label)."""

    if not finished.temporary_inputs:  # almost always, and this is asked for every task of a build
        return []

    def is_done(user: AnyTask) -> bool:
        return user.label not in pending and states.state(root, user) in ("current", "removed")

    return [
        task
        for task in tasks
        if task.target in finished.temporary_inputs
        and states.exists(root, task.target)
        and all(is_done(user) for user in tasks if task.target in user.temporary_inputs)
    ]
