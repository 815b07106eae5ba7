"""Laws of the stage layer over random graphs and random edits: what is built equals what a clean build gives, and nothing runs
that did not have to."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine import build, state
from punie_build.engine.plan import plan
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.storage import paths, store
from tests.support.profiles import examples
from tests.support.text_tasks import text_task, with_step

SOURCES = ("raw/a.txt", "raw/b.txt")
MOST = 6


@st.composite
def graphs(draw) -> tuple[Task, ...]:
    """Up to six tasks; each reads a source or tasks before it. `width` cuts what it writes, so that a step often gives the
    same bytes from other inputs: early cut-off has something to do."""
    found: list[Task] = []
    for index in range(draw(st.integers(1, MOST))):
        places = [*SOURCES, *(task.target for task in found)]
        inputs = tuple(draw(st.lists(st.sampled_from(places), min_size=1, max_size=3, unique=True)))
        needs = tuple(task.name for task in found if task.target in inputs)
        config = {"salt": draw(st.integers(0, 1)), "width": draw(st.integers(0, 2))}
        found.append(msgspec.structs.replace(text_task(f"t{index}", *needs, inputs=inputs), recipe=config))
    return tuple(found)


edits = st.one_of(
    st.tuples(st.just("salt"), st.integers(0, MOST - 1), st.integers(0, 1)),
    st.tuples(st.just("width"), st.integers(0, MOST - 1), st.integers(0, 2)),
    st.tuples(st.just("source"), st.integers(0, 1), st.integers(0, 2)),
    st.tuples(st.sampled_from(("damage", "remove", "add", "unlock", "tear", "forget", "drop blobs")), st.integers(0, MOST - 1), st.just(0)),
    st.tuples(st.just("fail"), st.integers(0, MOST - 1), st.just(0)),
)  # fmt: skip


def content(config: dict, texts: list[str]) -> str:
    """What a task writes: a function of its config and its inputs alone."""
    digest = hashlib.sha256(f"{config['salt']}{texts}".encode()).hexdigest()
    return digest[: config["width"]]


class World:
    """A project on disk, and what must be true of it."""

    def __init__(self, root: Path, tasks: tuple[Task, ...]) -> None:
        self.root, self.tasks = root, list(tasks)
        self.met: set[tuple] = set()  # what was ever made, by what decides it: the store must know it
        self.ran: list[tuple[str, tuple]] = []
        self.fails: set[str] = set()
        self.dropped = False
        for index, place in enumerate(SOURCES):
            (root / place).parent.mkdir(exist_ok=True)
            (root / place).write_text(str(index))

    def texts(self, task: Task, clean: dict[str, str]) -> list[str]:
        return [clean[p] if p in clean else (self.root / p).read_text() for p in sorted(task.inputs)]

    def expected(self) -> dict[str, str]:
        """What a clean build gives, without the stage layer."""
        clean: dict[str, str] = {}
        for task in self.tasks:
            clean[task.target] = content(task.recipe, self.texts(task, clean))
        return clean

    def step(self, work: Work) -> StepResult:
        if work.task.target in self.fails:
            (work.out / "text").write_text("half")
            raise OSError("no space left")
        places = [self.root / place for place in sorted(work.task.inputs)]
        texts = [(place / "text" if place.is_dir() else place).read_text() for place in places]
        (work.out / "text").write_text(content(work.task.recipe, texts))
        self.ran.append((work.task.target, identity(work.task, texts)))
        return StepResult("")

    def build(self) -> None:
        """Build as doit does: in order, and nothing after a failure. What was made before is never made again."""
        self.ran.clear()
        forgotten = {task.target for task in self.tasks if state.state(self.root, task) == "forgotten"}
        with suppress(OSError):
            for task in self.tasks:
                build.build(self.root, with_step(task, self.step))
        for target, made in self.ran:
            assert made not in self.met or target in forgotten, "it was made before: it had to be restored"
            self.met.add(made)

    def edit(self, what: str, which: int, value: int) -> None:
        """What people and accidents do between two builds."""
        task = self.tasks[which % len(self.tasks)]
        if what in ("salt", "width"):
            self.tasks[which % len(self.tasks)] = msgspec.structs.replace(task, recipe=task.recipe | {what: value})
        elif what == "source":
            (self.root / SOURCES[which]).write_text(str(value))
        elif what == "forget":
            state.forget(self.root, task)
        elif what == "drop blobs":
            shutil.rmtree(self.root / paths.STATE / "store", ignore_errors=True)
            self.met.clear()
            self.dropped = True
        elif what == "fail":
            self.fails.add(task.target)
        else:
            self.spoil(what, self.root / task.target, self.root / paths.lock(task.target))

    def spoil(self, what: str, folder: Path, lock: Path) -> None:
        if what == "damage" and folder.exists():
            (folder / "text").write_text("damaged")
        elif what == "add" and folder.exists():
            (folder / "more").write_text("more")
        elif what == "remove":
            shutil.rmtree(folder, ignore_errors=True)
        elif what == "unlock":
            lock.unlink(missing_ok=True)
        elif what == "tear" and lock.exists():
            lock.write_bytes(lock.read_bytes()[: lock.stat().st_size // 2])

    def check(self) -> None:
        """Build, and hold the laws."""
        self.fails.clear()
        planned = {each.task.target: each.action for each in plan(self.root, self.tasks)}
        self.build()
        ran = {target for target, _ in self.ran}
        clean = self.expected()
        for task in self.tasks:
            assert {path.name for path in (self.root / task.target).iterdir()} == {"text"}
            assert (self.root / task.target / "text").read_text() == clean[task.target]
            assert state.state(self.root, task) == "current"
            if task.target in ran:
                assert planned[task.target] in ("run", "maybe"), "the plan said that it does not run"
            elif planned[task.target] == "run":  # a task just like it ran before it, or one that gave the same bytes
                assert identity(task, self.texts(task, clean)) in self.met or self.dropped
        self.build()
        assert not self.ran, "a second build has nothing to do"
        assert {each.action for each in plan(self.root, self.tasks)} == {"current"}


def identity(task: Task, texts: list[str]) -> tuple:
    return (task.recipe["salt"], task.recipe["width"], tuple(texts), tuple(sorted(task.inputs)))


@examples(60)
@given(graphs(), st.lists(st.lists(edits, min_size=1, max_size=4), max_size=5))
def test_after_any_edits_a_build_equals_a_clean_one_and_runs_only_what_it_must(tasks, rounds):
    with tempfile.TemporaryDirectory() as place:
        world = World(Path(place), tasks)
        world.check()
        for some in rounds:
            for what, which, value in some:
                world.edit(what, which, value)
            if world.fails:
                world.build()  # a build that fails somewhere, then the same again without the failure
            world.check()


@examples(25)
@given(graphs(), st.lists(edits, max_size=4))
def test_the_collector_never_takes_what_a_lock_names(tasks, some):
    with tempfile.TemporaryDirectory() as place:
        world = World(Path(place), tasks)
        world.check()
        for what, which, value in some:
            if what in ("salt", "width", "source"):
                world.edit(what, which, value)
                world.check()
        named = [lock for task in world.tasks if (lock := build.locks.read(world.root / paths.lock(task.target)))]
        store.gc(world.root, named, days=0)
        shutil.rmtree(world.root / "data", ignore_errors=False)
        for task, lock in zip(world.tasks, named, strict=True):
            (world.root / paths.lock(task.target)).parent.mkdir(exist_ok=True)
            build.locks.write(world.root / paths.lock(task.target), lock)
        world.build()
        assert not world.ran, "everything a lock names is restored"
