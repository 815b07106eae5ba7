from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import build, state
from punie_build.engine.plan import plan, unneeded
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from tests.support.text_tasks import text_task, with_step


def chain(salt: int = 0, source_salt: int = 0) -> list[Task]:
    """Return a temporary task, and two that read its target."""
    users = [structs.replace(text_task(name, "a", salt=salt), temporary_inputs=("data/a",)) for name in ("b", "c")]
    return [structs.replace(text_task("a", inputs=("raw.txt",), salt=source_salt), temporary=True), *users]


def step(work: Work) -> StepResult:
    (work.out / "text").write_text(f"{work.task.name} {work.task.recipe}")
    return StepResult("built")


def actions(root: Path, tasks: list[Task]) -> dict[str, tuple[str, str]]:
    return {item.task.name: (item.state, item.action) for item in plan(root, tasks)}


def names(tasks: list[Task]) -> list[str]:
    return [task.name for task in tasks]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    for task in chain():
        build.build(tmp_path, with_step(task, step))
    return tmp_path


def test_a_removed_target_is_current_while_no_task_that_reads_it_runs(root):
    shutil.rmtree(root / "data/a")
    assert set(actions(root, chain()).values()) == {("removed", "current"), ("current", "current")}


def test_a_removed_target_is_built_if_a_task_that_reads_it_runs(root):
    shutil.rmtree(root / "data/a")
    assert actions(root, chain(salt=1))["a"] == ("removed", "run")


def test_a_removed_target_is_built_if_it_is_planned_alone(root):
    shutil.rmtree(root / "data/a")
    assert actions(root, chain()[:1]) == {"a": ("removed", "run")}


def test_a_file_in_a_removed_target_has_the_digest_of_the_lock(root):
    reader = structs.replace(text_task("d", inputs=("data/a/text",)), temporary_inputs=("data/a",))
    build.build(root, with_step(reader, step))
    tasks = [*chain(), reader]
    before = state.key_inputs(root, reader)
    assert names(unneeded(root, tasks, reader, pending=())) == ["a"]
    shutil.rmtree(root / "data/a")
    assert state.key_inputs(root, reader) == before
    assert actions(root, tasks)["d"] == ("current", "current")
    assert actions(root, [*chain(source_salt=1), reader])["d"][1] == "maybe"


def test_a_temporary_target_is_unneeded_when_all_tasks_that_read_it_are_current(root):
    tasks = chain()
    assert names(unneeded(root, tasks, tasks[1], pending=())) == ["a"]
    assert unneeded(root, tasks, tasks[1], pending=("stage:c",)) == []
    assert unneeded(root, tasks, tasks[0], pending=()) == []
    shutil.rmtree(root / "data/c")
    assert unneeded(root, tasks, tasks[1], pending=()) == []


def test_a_removed_target_is_not_removed_twice(root):
    tasks = chain()
    shutil.rmtree(root / "data/a")
    assert unneeded(root, tasks, tasks[1], pending=()) == []


def test_a_restore_that_the_store_has_lost_builds_the_temporary_inputs_again(tmp_path, capsys):
    """The plan was to restore the last target, so the temporary ones before it were not built."""

    def write(work: Work) -> StepResult:
        (work.out / "text").write_text(work.task.name)
        return StepResult("built")

    first = structs.replace(with_step(text_task("first", inputs=("raw.txt",)), write), temporary=True)
    second = structs.replace(with_step(text_task("second", "first"), write), temporary=True)
    second = structs.replace(second, temporary_inputs=("data/first",))
    last = structs.replace(with_step(text_task("last", "second"), write), temporary_inputs=("data/second",))
    tasks = [first, second, last]
    (tmp_path / "raw.txt").write_text("raw")
    for task in tasks:
        build.build(tmp_path, task)
    for task in tasks:
        shutil.rmtree(tmp_path / task.target)
    assert [item.action for item in plan(tmp_path, tasks)] == ["current", "current", "restore"]
    shutil.rmtree(tmp_path / ".punie/store")
    assert build.build_with_inputs(tmp_path, last, tasks).action == "ran"
    assert state.state(tmp_path, last) == "current"
    assert capsys.readouterr().out.count("is built first") == 2
