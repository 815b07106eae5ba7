"""Laws of the engine over random graphs and random edits.

The files of a build equal those of a clean build, and no task runs without need.
"""

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
from punie_build.storage import locks, paths, store
from tests.support.profiles import examples
from tests.support.text_tasks import text_task, with_step

SOURCES = ("raw/a.txt", "raw/b.txt")
MAX_TASKS = 6


@st.composite
def graphs(draw) -> tuple[Task, ...]:
    """Draw up to six tasks; each reads sources or earlier tasks.

    `width` truncates the output, so that a step often gives the same bytes from other inputs, and builds are cut off.
    """
    tasks: list[Task] = []
    for index in range(draw(st.integers(1, MAX_TASKS))):
        paths_ = [*SOURCES, *(task.target for task in tasks)]
        inputs = tuple(draw(st.lists(st.sampled_from(paths_), min_size=1, max_size=3, unique=True)))
        needs = tuple(task.name for task in tasks if task.target in inputs)
        recipe = {"salt": draw(st.integers(0, 1)), "width": draw(st.integers(0, 2))}
        tasks.append(text_task(f"t{index}", *needs, inputs=inputs, **recipe))
    return tuple(tasks)


edits = st.one_of(
    st.tuples(st.just("salt"), st.integers(0, MAX_TASKS - 1), st.integers(0, 1)),
    st.tuples(st.just("width"), st.integers(0, MAX_TASKS - 1), st.integers(0, 2)),
    st.tuples(st.just("source"), st.integers(0, 1), st.integers(0, 2)),
    st.tuples(
        st.sampled_from(("damage", "remove", "add", "unlock", "tear", "forget", "drop blobs")),
        st.integers(0, MAX_TASKS - 1),
        st.just(0),
    ),
    st.tuples(st.just("fail"), st.integers(0, MAX_TASKS - 1), st.just(0)),
)


def content(recipe: dict, texts: list[str]) -> str:
    """Return the text that a task writes: a function of its recipe and its inputs alone."""
    digest = hashlib.sha256(f"{recipe['salt']}{texts}".encode()).hexdigest()
    return digest[: recipe["width"]]


class World:
    """A project on disk, and the laws that it must satisfy."""

    def __init__(self, root: Path, tasks: tuple[Task, ...]) -> None:
        self.root, self.tasks = root, list(tasks)
        self.known: set[tuple] = set()  # the identity of every result so far: the store must have it
        self.ran: list[tuple[str, tuple]] = []
        self.fails: set[str] = set()
        self.dropped = False
        for index, path in enumerate(SOURCES):
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(str(index))

    def texts(self, task: Task, clean: dict[str, str]) -> list[str]:
        return [clean[p] if p in clean else (self.root / p).read_text() for p in sorted(task.inputs)]

    def expected(self) -> dict[str, str]:
        """Return the text of each target after a clean build, computed without the engine."""
        clean: dict[str, str] = {}
        for task in self.tasks:
            clean[task.target] = content(task.recipe, self.texts(task, clean))
        return clean

    def step(self, work: Work) -> StepResult:
        if work.task.target in self.fails:
            (work.out / "text").write_text("half")
            raise OSError("no space left")
        inputs = [self.root / path for path in sorted(work.task.inputs)]
        texts = [(path / "text" if path.is_dir() else path).read_text() for path in inputs]
        (work.out / "text").write_text(content(work.task.recipe, texts))
        self.ran.append((work.task.target, identity(work.task, texts)))
        return StepResult("")

    def build(self) -> None:
        """Build as doit does: in order, up to the first failure. No step runs twice for the same inputs."""
        self.ran.clear()
        forgotten = {task.target for task in self.tasks if state.state(self.root, task) == "forgotten"}
        with suppress(OSError):
            for task in self.tasks:
                build.build(self.root, with_step(task, self.step))
        for target, result in self.ran:
            assert result not in self.known or target in forgotten, "it must be restored: an earlier build ran it"
            self.known.add(result)

    def edit(self, action: str, index: int, value: int) -> None:
        """Apply an edit by people, or an accident, between two builds."""
        task = self.tasks[index % len(self.tasks)]
        if action in ("salt", "width"):
            self.tasks[index % len(self.tasks)] = msgspec.structs.replace(task, recipe=task.recipe | {action: value})
        elif action == "source":
            (self.root / SOURCES[index]).write_text(str(value))
        elif action == "forget":
            state.forget(self.root, task)
        elif action == "drop blobs":
            shutil.rmtree(self.root / paths.STATE / "store", ignore_errors=True)
            self.known.clear()
            self.dropped = True
        elif action == "fail":
            self.fails.add(task.target)
        else:
            self.damage(action, self.root / task.target, self.root / paths.lock(task.target))

    def damage(self, action: str, folder: Path, lock: Path) -> None:
        if action == "damage" and folder.exists():
            (folder / "text").write_text("damaged")
        elif action == "add" and folder.exists():
            (folder / "more").write_text("more")
        elif action == "remove":
            shutil.rmtree(folder, ignore_errors=True)
        elif action == "unlock":
            lock.unlink(missing_ok=True)
        elif action == "tear" and lock.exists():
            lock.write_bytes(lock.read_bytes()[: lock.stat().st_size // 2])

    def check(self) -> None:
        """Build, and assert the laws."""
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
                assert planned[task.target] in ("run", "maybe"), "the plan forecast no run"
            elif planned[task.target] == "run":  # an equal task ran before it, or one that gave the same bytes
                assert identity(task, self.texts(task, clean)) in self.known or self.dropped
        self.build()
        assert not self.ran, "a second build has nothing to do"
        assert {each.action for each in plan(self.root, self.tasks)} == {"current"}


def identity(task: Task, texts: list[str]) -> tuple:
    return (task.recipe["salt"], task.recipe["width"], tuple(texts), tuple(sorted(task.inputs)))


@examples(60)
@given(graphs(), st.lists(st.lists(edits, min_size=1, max_size=4), max_size=5))
def test_after_any_edits_a_build_equals_a_clean_one_and_runs_only_what_it_must(tasks, rounds):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), tasks)
        world.check()
        for changes in rounds:
            for change in changes:
                world.edit(*change)
            if world.fails:
                world.build()  # a build that fails somewhere, then the same again without the failure
            world.check()


@examples(25)
@given(graphs(), st.lists(edits, max_size=4))
def test_garbage_collection_keeps_all_files_that_a_lock_names(tasks, changes):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), tasks)
        world.check()
        for action, index, value in changes:
            if action in ("salt", "width", "source"):
                world.edit(action, index, value)
                world.check()
        recorded = [lock for task in world.tasks if (lock := locks.read(world.root / paths.lock(task.target)))]
        store.gc(world.root, recorded, days=0)
        shutil.rmtree(world.root / "data", ignore_errors=False)
        for task, lock in zip(world.tasks, recorded, strict=True):
            (world.root / paths.lock(task.target)).parent.mkdir(exist_ok=True)
            locks.write(world.root / paths.lock(task.target), lock)
        world.build()
        assert not world.ran, "everything that a lock names is restored"
