"""Build: the stage layer between doit and the steps. It alone publishes.

To build: hold the target's guard, look again, restore what the key gave before, else run the step in a staging folder and
make sure the inputs did not change meanwhile; keep it in the store, swap the folder in, write the lock last. A kill at any
instant leaves the old target, or one whose digests disagree with the lock and which is made again.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, structs

from punie_build.artifacts.graph import Task
from punie_build.engine import card_notes, gates
from punie_build.engine import state as states
from punie_build.errors import PunieError
from punie_build.models import locate
from punie_build.runtime import device_lock, versions
from punie_build.runtime.console import console
from punie_build.storage import digests, locks, paths, store
from punie_build.storage.atomic import publish
from punie_build.storage.locks import Facts, Lock


class Work(Struct, frozen=True, kw_only=True):
    """What a step is given: the task, the project, where to write, where to log, and all that decides what it makes. `again`: it
    was made before and is to be made anew, whatever is kept of it."""

    root: Path
    task: Task
    out: Path
    logs: Path
    facts: Facts | None = None
    again: bool = False

    def base(self) -> Path:
        """The folder of the base that the task starts from."""
        assert self.task.base is not None, "graph gives every task that needs one its base"
        return locate.locate(self.root, self.task.base)

    def say(self, text: str) -> None:
        """A line for people: on the screen, and in the task's own log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / "build.log").open("a", encoding="utf-8") as log:
            log.write(f"{text}\n")
        alone = threading.current_thread() is threading.main_thread()
        for line in text.splitlines():
            console.print_line(f"   {line}" if alone else f"   {self.task.label}: {line}")


class Made(Struct, frozen=True):
    """What a step says of what it made: a line for people, and numbers for gates."""

    said: str
    metrics: dict[str, float] = {}


class Outcome(Struct, frozen=True, kw_only=True):
    """What a build did: `how` is `current`, `restored` or `ran`; `seconds` is what it took, `saved` what a restored one took
    when it was made; `reasons` are what changed."""

    how: str
    said: str = ""
    seconds: float = 0.0
    saved: float = 0.0
    key: str = ""
    reasons: tuple[str, ...] = ()


Step = Callable[[Work], Made]
NEW = "not built before"


class Careful(Struct, frozen=True):
    """A step that looks first: `ready` raises what would go wrong, before it waits for its turn."""

    ready: Callable[[Work], None]
    step: Step

    def __call__(self, work: Work) -> Made:
        return self.step(work)


class BadMetricError(PunieError):
    """A number that came out is infinite or none: no gate could be held to it."""


class UnexpectedError(PunieError):
    """Data came out otherwise than its recipe expects."""


class ChangedError(PunieError):
    """An input was edited while the step ran: what it made is neither the old nor the new."""


def build(root: Path, task: Task, step: Step, *, again: bool = False) -> Outcome:
    """Make the target if it is not current. With `again` it is made even so, and not restored."""
    started = time.monotonic()
    work = Work(root=root, task=task, out=root / paths.staging(task.target), logs=root / paths.logs(task.target))
    with _guard(work):
        old = locks.read(root / paths.lock(task.target))
        now = states.facts(root, task, old)
        state = states.compared(root, task, old, now)
        again = again or state == "forgotten"
        work = structs.replace(work, again=again)
        if state == "current" and not again:
            assert old is not None, "what is current has a lock"
            _hold(task, old)
            return Outcome(how="current", key=now.key)
        reasons = _reasons(task, state, old, now)
        try:
            _empty(work.out)
            lock = None if again else store.restore(root, now.key, work.out, old)
            if lock:
                how, said = "restored", "restored from the store"
            else:
                how, (lock, said) = "ran", _run(work, step, old, now, reasons)
                if not task.temporary:
                    store.put(root, work.out, lock)
            _hold(task, lock, said)
            card_notes.carry(task.target, root / task.target, work.out)
            publish(work.out, root / task.target)
        finally:
            shutil.rmtree(work.out, ignore_errors=True)
        _remember(root, task)
        locks.write(root / paths.lock(task.target), lock)
        (root / paths.forgotten(task.target)).unlink(missing_ok=True)
    return Outcome(
        how=how,
        said=said,
        seconds=time.monotonic() - started,
        saved=lock.seconds if how == "restored" else 0.0,
        key=lock.key,
        reasons=reasons,
    )


def stash(root: Path, task: Task, step: Step) -> Lock:
    """Make a target for the store alone, if it is not there: what a look before the build makes, the build need not."""
    work = Work(root=root, task=task, out=root / paths.staging(task.target), logs=root / paths.logs(task.target))
    with _guard(work):
        old = locks.read(root / paths.lock(task.target))
        now = states.facts(root, task, old)
        if found := store.find(root, now.key, old):
            return found
        try:
            lock, _ = _run(work, step, old, now, ())
            store.put(root, work.out, lock)
        finally:
            shutil.rmtree(work.out, ignore_errors=True)
    return lock


def _hold(task: Task, lock: Lock, said: str = "") -> None:
    """Raise UnexpectedError if the numbers are not those that the recipe expects. What was made waits in the store."""
    place, _, _ = task.label.partition(":")
    told = f" ({said})" if said else ""
    if wrong := gates.objections(task.spec, lock.metrics):
        raise UnexpectedError(
            "\n".join(f"{task.file}: {place}.{task.name}.{line}{told}" for line in wrong)
            + "\nnothing is made from it: look why, and correct the data or `expect`"
        )


def _remember(root: Path, task: Task) -> None:
    """Put what the step remembers beside its target, where people commit it."""
    made, place = root / task.target / paths.REMEMBERED, root / task.remembers
    if task.remembers and made.exists():
        fresh = place.with_name(f"{place.name}.new")
        shutil.copyfile(made, fresh)
        fresh.replace(place)


def _reasons(task: Task, state: str, old: Lock | None, now: Facts) -> tuple[str, ...]:
    if state == "edited":
        return ("its files were edited",)
    if state == "forgotten":
        return ("it was forgotten",)
    return states.changes(task, old, now) if old else (NEW,)


def _run(work: Work, step: Step, old: Lock | None, now: Facts, reasons: tuple[str, ...]) -> tuple[Lock, str]:
    """Run the step in the staging folder; its lock, if the inputs are still those it started from."""
    shutil.rmtree(work.logs, ignore_errors=True)
    for reason in reasons:
        if reason != NEW:
            work.say(f"because {reason}")
    if lost := [place for place in work.task.gone if not (work.root / place).exists()]:
        raise ChangedError(f"{', '.join(lost)}: temporary, and not there any more - build again")
    _empty(work.out)
    if isinstance(step, Careful):
        step.ready(work)
    with device_lock.hold(work.task.kind, versions.device(), work.say):
        started = time.monotonic()
        made = step(structs.replace(work, facts=now))
        seconds = round(time.monotonic() - started, 2)
    if states.facts(work.root, work.task, old) != now:
        raise ChangedError("an input changed while this was being made - build again")
    outputs = digests.of_target(work.out, work.task.target)
    if work.task.remembers and (learnt := outputs.get(paths.REMEMBERED)):
        # with it the next build gives the same, so the key is that of the next build
        now = structs.replace(now, inputs=now.inputs | {work.task.remembers: learnt})
    metrics = {name: float(value) for name, value in made.metrics.items()}
    if odd := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise BadMetricError(f"{', '.join(odd)}: not a number - what was made cannot be judged; look into its log")
    return Lock(key=now.key, facts=now, outputs=outputs, metrics=metrics, seconds=seconds), made.said


@contextmanager
def _guard(work: Work) -> Iterator[None]:
    """Be the only one who builds this target, here or in another process; wait, and say so, while somebody else does."""
    from filelock import FileLock, Timeout  # it imports asyncio: 15 ms that a no-op need not pay

    place = work.root / paths.guard(work.task.target)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        work.say("waits: another build is making this")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
