"""Planning: what a build would do, task by task, before anything runs, and why.

What a task would be made from is known as long as everything before it is current or can be restored; behind a task that
must run it is not, and then the plan says `maybe`: a step that gives the same bytes as before stops the build there.

A temporary target that is spent is current as long as nothing that reads it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.artifacts.graph import Task
from punie_build.engine import state as states
from punie_build.errors import UseError, did_you_mean
from punie_build.runtime import versions
from punie_build.runtime.console import format_seconds
from punie_build.storage import digests, locks, paths, store
from punie_build.storage.locks import Lock

UNKNOWN = "not made yet"  # in place of a digest


class Planned(Struct, frozen=True, kw_only=True):
    """One task of a plan. `how` is `current`, `restore`, `run` or `maybe`; `last` is how many seconds it took last time."""

    task: Task
    state: str
    how: str
    reasons: tuple[str, ...] = ()
    last: float | None = None

    @property
    def forecast(self) -> str:
        took = f", {format_seconds(self.last)} last time" if self.last is not None else ""
        match self.how:
            case "restore":
                return f"RESTORE{f', {format_seconds(self.last)} saved' if self.last else ''}"
            case "maybe":
                other = "nothing" if self.state == "waits" else "RESTORE"
                return f"RUN{took}, or {other} if what it is made from comes out the same"
            case "run":
                return f"RUN{took}"
        return "nothing to do"


Coming = dict[str, dict[str, str] | None]  # target -> digest of each file that will be there; None: not known yet


def plan(root: Path, tasks: Sequence[Task]) -> list[Planned]:
    """What a build of these tasks would do. `tasks` are in the order of the graph: each after what it needs."""
    wanted: set[str] = set()  # spent targets whose files are needed
    while True:
        coming: Coming = {}
        planned = [_planned(root, task, coming, wanted) for task in tasks]
        more = set(_wanted(planned)) - wanted
        if not more:
            return planned
        wanted |= more


def _wanted(planned: Sequence[Planned]) -> Iterator[str]:
    """The spent targets that a task which runs would read, and those that nothing reads: they were asked for by name."""
    reads = {place for each in planned for place in each.task.gone}
    running = {place for each in planned if each.how in ("run", "maybe") for place in each.task.gone}
    for each in planned:
        if (
            each.state == "spent"
            and each.how == "current"
            and (each.task.target in running or each.task.target not in reads)
        ):
            yield each.task.target


def _planned(root: Path, task: Task, coming: Coming, wanted: Collection[str] = ()) -> Planned:
    lock = locks.read(root / paths.lock(task.target))
    inputs = {place: _input(root, place, task.reads_in(place), coming) for place in task.inputs}
    unknown = [place for place, digest in inputs.items() if digest == UNKNOWN]
    # taken to come out as they were, if they were there
    inputs |= {place: lock.facts.inputs[place] for place in unknown if lock and place in lock.facts.inputs}
    now = states.given(task, inputs | states.base(root, task), versions.for_kind(task.kind, task.spec), lock)
    state = states.compared(root, task, lock, now)
    spared = state == "spent" and task.target not in wanted
    found = lock if spared else _found(root, state, now.key, lock)
    coming[task.target] = found.outputs if found and not unknown else None
    reasons = [*states.changes(task, lock, now)] if lock else []
    last = lock.seconds if lock else None
    if found is None:
        how = "run"
    elif unknown:
        how = "maybe"
        reasons += [f"{place} is made anew first" for place in unknown]
        state = "waits" if state == "current" else state
    else:
        how = "current" if state == "current" or spared else "restore"
        last = found.seconds
    return Planned(task=task, state=state, how=how, reasons=tuple(reasons), last=last)


def _found(root: Path, state: str, key: str, lock: Lock | None) -> Lock | None:
    """What would be there without running anything: the target itself, or what the store has of it."""
    if state == "current":
        return lock
    return None if state == "forgotten" else store.find(root, key, lock)


def _input(root: Path, place: str, reads: tuple[str, ...], coming: Coming) -> str:
    if place not in coming:
        return digests.of_input(root, place, reads)
    files = coming[place]
    return UNKNOWN if files is None else digests.of_listing(files, reads)


def total(planned: Iterable[Planned]) -> str:
    """One line: how many run, for about how long, how many are restored, how many may be cut off."""
    planned = list(planned)
    some = {how: [each for each in planned if each.how == how] for how in ("run", "restore", "maybe", "current")}
    if len(some["current"]) == len(planned):
        return f"{len(planned)} artifact{'s' if len(planned) != 1 else ''}, all current" if planned else "no artifacts"
    words = [f"{len(some['run'])} to run{_time(some['run'])}"] if some["run"] else []
    if some["restore"]:
        words.append(f"{len(some['restore'])} to restore")
    if some["maybe"]:
        most = sum(each.last or 0 for each in some["maybe"])
        words.append(f"{len(some['maybe'])} to run unless cut off (at most {format_seconds(most)})")
    if some["current"]:
        words.append(f"{len(some['current'])} current")
    return ", ".join(words)


def _time(running: Sequence[Planned]) -> str:
    """How long these take, by what they took last time."""
    known = sum(each.last or 0 for each in running)
    new = sum(each.last is None for each in running)
    if not known:
        return ""
    return f" (about {format_seconds(known)}{f', and {new} for the first time' if new else ''})"


def needed(tasks: Sequence[Task], wanted: Iterable[str]) -> list[Task]:
    """The tasks of these labels and all they need, in order."""
    needs = {task.label: task.needs for task in tasks}
    found = reached(wanted, needs.__getitem__)
    return [task for task in tasks if task.label in found]


def named(tasks: Sequence[Task], labels: Iterable[str]) -> list[Task]:
    """The tasks of these labels. Raises UseError for one that is none."""
    known = {task.label: task for task in tasks}
    for label in labels:
        if label not in known:
            raise UseError(f"{label}: no such artifact{did_you_mean(label, known)}")
    return [known[label] for label in labels]


def reached(wanted: Iterable[str], needs: Callable[[str], Iterable[str]]) -> set[str]:
    """The labels of what is wanted and of all it needs."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        label = waiting.pop()
        if label not in found:
            found.add(label)
            waiting += needs(label)
    return found


def free(root: Path, tasks: Sequence[Task], ended: Task, waiting: Collection[str]) -> list[Task]:
    """The temporary targets that `ended` reads and that nothing needs any more: all that reads them is current, and none of it
    waits to be made."""

    def done(user: Task) -> bool:
        return user.label not in waiting and states.state(root, user) in ("current", "spent")

    return [
        task
        for task in tasks
        if task.target in ended.gone
        and states.there(root, task.target)
        and all(done(user) for user in tasks if task.target in user.inputs)
    ]
