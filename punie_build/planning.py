"""Planning: what a build would do, task by task, before anything runs, and why.

What a task would be made from is known as long as everything before it is current or can be restored; behind a task that
must run it is not, and then the plan says `maybe`: a step that gives the same bytes as before stops the build there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from punie_build import digests, explaining, layout, locks, states, store, tools
from punie_build.graph import Task
from punie_build.locks import Facts, Lock
from punie_build.screen import seconds

UNKNOWN = "0" * 64  # the digest of what is not made yet


class Planned(Struct, frozen=True, kw_only=True):
    """One task of a plan. `how` is `current`, `restore`, `run` or `maybe`; `last` is how many seconds it took last time."""

    task: Task
    state: str
    how: str
    reasons: tuple[str, ...] = ()
    last: float | None = None

    @property
    def forecast(self) -> str:
        took = f", {seconds(self.last)} last time" if self.last is not None else ""
        match self.how:
            case "restore":
                return f"RESTORE{f', {seconds(self.last)} saved' if self.last else ''}"
            case "maybe":
                return f"RUN{took}, or nothing if what it is made from comes out the same"
            case "run":
                return f"RUN{took}"
        return "nothing to do"


Coming = dict[str, dict[str, str] | None]  # target -> digest of each file that will be there; None: not known yet


def plan(root: Path, tasks: Sequence[Task]) -> list[Planned]:
    """What a build of these tasks would do. `tasks` are in the order of the graph: each after what it needs."""
    coming: Coming = {}
    return [_planned(root, task, coming) for task in tasks]


def _planned(root: Path, task: Task, coming: Coming) -> Planned:
    lock = locks.read(root / layout.lock(task.target))
    inputs = {place: _input(root, place, task.reads, coming) for place in task.inputs}
    now = states.given(task, inputs | states.base(root, task), tools.of(task.kind, task.spec))
    coming[task.target] = None
    last = lock.seconds if lock else None
    unknown = [place for place, digest in inputs.items() if digest == UNKNOWN]
    if unknown and lock and not _other(lock, now, unknown):
        reasons = tuple(f"{place} is made anew first" for place in unknown)
        return Planned(task=task, state="waits", how="maybe", reasons=reasons, last=last)
    state = states.compared(root, task, lock, now)
    if state == "current" and lock:
        coming[task.target] = lock.outputs
        return Planned(task=task, state=state, how="current", last=last)
    reasons = tuple(
        line for line in (explaining.differences(lock.facts, now) if lock else ()) if UNKNOWN[:12] not in line
    )
    if not unknown and state != "forgotten" and (found := store.find(root, now.key, lock)):
        coming[task.target] = found.outputs
        return Planned(task=task, state=state, how="restore", reasons=reasons, last=found.seconds)
    return Planned(task=task, state=state, how="run", reasons=reasons, last=last)


def _input(root: Path, place: str, reads: tuple[str, ...], coming: Coming) -> str:
    if place not in coming:
        return digests.of_tree(root / place, reads)
    files = coming[place]
    return UNKNOWN if files is None else digests.of_listing(files, reads)


def _other(lock: Lock, now: Facts, unknown: list[str]) -> list[str]:
    """What differs besides the inputs that are not known yet."""
    same = {place: lock.facts.inputs.get(place, "") for place in unknown}
    return list(explaining.differences(lock.facts, structs.replace(now, inputs=now.inputs | same)))


def total(planned: Iterable[Planned]) -> str:
    """One line: how many run, for about how long, how many are restored, how many may be cut off."""
    planned = list(planned)
    some = {how: [each for each in planned if each.how == how] for how in ("run", "restore", "maybe", "current")}
    if len(some["current"]) == len(planned):
        return f"{len(planned)} artifacts, all current"
    known = sum(each.last or 0 for each in some["run"])
    new = sum(each.last is None for each in some["run"])
    words = []
    if some["run"]:
        words.append(
            f"{len(some['run'])} to run"
            + (f" (about {seconds(known)}" + (f", {new} for the first time)" if new else ")") if known else "")
        )
    if some["restore"]:
        words.append(f"{len(some['restore'])} to restore")
    if some["maybe"]:
        most = sum(each.last or 0 for each in some["maybe"])
        words.append(f"{len(some['maybe'])} to run unless cut off (at most {seconds(most)})")
    if some["current"]:
        words.append(f"{len(some['current'])} current")
    return ", ".join(words)


def needed(tasks: Sequence[Task], wanted: Iterable[str]) -> list[Task]:
    """The tasks of these labels and all they need, in order."""
    found = {task.label: task for task in tasks}
    seen: set[str] = set()
    waiting = list(wanted)
    while waiting:
        label = waiting.pop()
        if label not in seen:
            seen.add(label)
            waiting += found[label].needs
    return [task for task in tasks if task.label in seen]
