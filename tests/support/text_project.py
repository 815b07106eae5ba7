"""A project of text tasks that can be planned and built, for tests of plans."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from punie_build.engine import build
from punie_build.engine.plan import Planned, plan
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.storage import locks, paths
from tests.support.text_tasks import text_task, with_step


def task(name: str, *needs: str, salt: int = 0, width: int = 64, reads: tuple[str, ...] = ()) -> Task:
    """Return a task that reads the targets of `needs`, or `raw.txt` if it needs none."""
    inputs = () if needs else ("raw.txt",)
    task = text_task(name, *needs, inputs=inputs, name=name, salt=salt, width=width)
    return msgspec.structs.replace(task, reads=reads)


class TextProject:
    """Tasks by name, a folder, and a step that writes the digest of its recipe and inputs, cut at `width` digits."""

    def __init__(self, root: Path, *tasks: Task) -> None:
        self.root, self.tasks, self.ran = root, {task.name: task for task in tasks}, list[str]()
        (root / "raw.txt").write_text("raw")

    def step(self, work: Work) -> StepResult:
        self.ran.append(work.task.name)
        inputs = [self.root / path for path in work.task.inputs]
        texts = [(path / "text" if path.is_dir() else path).read_text() for path in inputs]
        digest = hashlib.sha256(f"{work.task.recipe}{texts}".encode()).hexdigest()
        (work.out / "text").write_text(digest[: work.task.recipe["width"]])
        (work.out / "beside").write_text(str(work.task.recipe["salt"]))
        return StepResult("")

    def build(self) -> list[str]:
        """Build all tasks. Return the names of those that ran."""
        self.ran.clear()
        for each in self.tasks.values():
            build.build(self.root, with_step(each, self.step))
        return self.ran

    def plan(self) -> dict[str, Planned]:
        return {each.task.name: each for each in plan(self.root, list(self.tasks.values()))}

    def actions(self) -> dict[str, str]:
        return {name: each.action for name, each in self.plan().items()}

    def salt(self, name: str, value: int) -> None:
        old = self.tasks[name]
        self.tasks[name] = msgspec.structs.replace(old, recipe=old.recipe | {"salt": value})

    def set_seconds(self, seconds: float) -> None:
        """Record that every task took so long: the time enters no key."""
        for path in [*locks.present(self.root, ["data"]), *(self.root / paths.STATE / "store" / "actions").glob("*/*")]:
            lock = locks.read(path)
            assert lock
            locks.write(path, msgspec.structs.replace(lock, seconds=seconds))
