"""Temporary targets: their files go when all their readers are built, and come back for a task that must run."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine import build, state
from punie_build.engine.plan import plan, unneeded
from punie_build.storage import locks, paths
from tests.integration.test_build_laws import World, edits, graphs
from tests.support.doit_runner import doit, ran
from tests.support.profiles import examples
from tests.support.project import create, edit
from tests.support.text_tasks import with_step


@st.composite
def graphs_with_temporary_targets(draw):
    """Draw a graph with some temporary targets."""
    tasks, temporary = [], set()
    for task in draw(graphs()):
        inputs = tuple(path for path in task.inputs if path in temporary)
        tasks.append(msgspec.structs.replace(task, temporary=draw(st.booleans()), temporary_inputs=inputs))
        temporary |= {task.target} if tasks[-1].temporary else set()
    return tuple(tasks)


class TemporaryWorld(World):
    """Builds as doit does: skips current targets, and removes the unneeded files after each task."""

    def build(self) -> None:
        self.ran.clear()
        self.removed: list[str] = []
        planned = {item.task.target: item for item in plan(self.root, self.tasks)}
        pending = [task.label for task in self.tasks]
        with suppress(OSError):
            for task in self.tasks:
                if planned[task.target].action != "current" and state.state(self.root, task) != "current":
                    build.build(self.root, with_step(task, self.step))
                pending.remove(task.label)
                for target in unneeded(self.root, self.tasks, task, pending):
                    state.clean(self.root, target)
                    self.removed.append(target.target)

    def users(self, task):
        return [other for other in self.tasks if task.target in other.inputs]

    def check(self) -> None:
        self.fails.clear()
        before = {item.task.target: item for item in plan(self.root, self.tasks)}
        self.build()
        clean, ran = self.expected(), {target for target, _ in self.ran}
        for task in self.tasks:
            text = self.root / task.target / "text"
            if task.temporary and self.users(task):
                assert not text.parent.exists(), "no task needs it any more"
            else:
                assert text.read_text() == clean[task.target]
            lock = locks.read(self.root / paths.lock(task.target))
            assert lock.outputs == {"text": hashlib.sha256(clean[task.target].encode()).hexdigest()}
            if task.target in ran and before[task.target].state == "removed" and self.users(task):
                actions = {before[user.target].action for user in self.users(task)}
                assert actions & {"run", "maybe"}, "no task that reads it had to run"
        self.build()
        assert not self.ran, "a second build runs no task"
        assert not self.removed
        assert {item.action for item in plan(self.root, self.tasks)} == {"current"}


@pytest.mark.slow
@examples(80)
@given(graphs_with_temporary_targets(), st.lists(st.lists(edits, min_size=1, max_size=4), max_size=4))
def test_edited_graphs_equal_a_clean_build_and_removed_files_return_only_to_be_read(tasks, rounds):
    with tempfile.TemporaryDirectory() as folder:
        world = TemporaryWorld(Path(folder), tasks)
        world.check()
        for changes in rounds:
            for what, which, value in changes:
                world.edit(what, which, value)
            if world.fails:
                world.build()
            world.check()


RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 40 }
temporary = true

[stage.long]
from = "sample"
filters = [{ type = "min-messages", messages = 2 }]
temporary = true

[stage.good]
from = "long"
filters = [{ type = "content-quality" }]

[stage.other]
from = "sample"
filters = [{ type = "ends-with-assistant" }]
"""


@pytest.fixture
def project(tmp_path) -> Path:
    return create(tmp_path, RECIPE)


def targets(project: Path) -> set[str]:
    return {path.name for path in (project / "data").iterdir() if path.is_dir()}


@pytest.mark.slow
def test_doit_removes_a_temporary_target_after_its_last_reader(project):
    output = doit(project, "stage:good")
    assert "data/sample" not in output
    assert "-  stage:long  temporary" in output
    assert targets(project) == {"sample", "good"}, "stage:other, which is not built yet, reads the sample"
    assert "-  dataset:sample  temporary" in doit(project)
    assert targets(project) == {"good", "other"}
    assert doit(project).startswith("4 artifacts: 4 current")
    assert not list((project / ".punie" / "staging").rglob("*.jsonl"))


@pytest.mark.slow
def test_removed_files_are_rebuilt_only_for_a_task_that_runs(project):
    doit(project)
    edit(project, "content-quality", "repetition")
    assert ran(doit(project)) == {"dataset:sample", "stage:long", "stage:good"}
    assert targets(project) == {"good", "other"}


@pytest.mark.slow
def test_removed_files_are_rebuilt_if_the_target_is_named(project):
    doit(project)
    assert ran(doit(project, "stage:long")) == {"dataset:sample", "stage:long"}
    assert targets(project) == {"long", "good", "other"}


@pytest.mark.slow
def test_a_temporary_target_is_not_kept_in_the_store(project):
    doit(project)
    digest = locks.read(project / paths.lock("data/long")).outputs["dropped.jsonl"]
    blobs = {path.name for path in (project / ".punie" / "store" / "blobs").glob("*/*")}
    assert digest not in blobs
    assert locks.read(project / paths.lock("data/good")).outputs["dropped.jsonl"] in blobs
