"""Temporary targets: their files go when all that reads them is built, and come back when something that reads them must run."""

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
from punie_build.engine.plan import free, plan
from punie_build.storage import locks, paths
from tests.integration.test_build_laws import World, edits, graphs
from tests.support.doit_runner import doit, ran
from tests.support.profiles import examples
from tests.support.project import create, edit


@st.composite
def sparing(draw):
    """A graph some of whose targets are temporary."""
    found, temporary = [], set()
    for task in draw(graphs()):
        gone = tuple(place for place in task.inputs if place in temporary)
        found.append(msgspec.structs.replace(task, temporary=draw(st.booleans()), gone=gone))
        temporary |= {task.target} if found[-1].temporary else set()
    return tuple(found)


class Sparing(World):
    """Builds as doit does: what the plan, or a look at the files, finds current is left out; after each task goes what nothing
    needs."""

    def build(self) -> None:
        self.ran.clear()
        self.removed: list[str] = []
        planned = {each.task.target: each for each in plan(self.root, self.tasks)}
        waiting = [task.label for task in self.tasks]
        with suppress(OSError):
            for task in self.tasks:
                if planned[task.target].how != "current" and state.state(self.root, task) != "current":
                    build.build(self.root, task, self.step)
                waiting.remove(task.label)
                for gone in free(self.root, self.tasks, task, waiting):
                    state.clean(self.root, gone)
                    self.removed.append(gone.target)

    def users(self, task):
        return [other for other in self.tasks if task.target in other.inputs]

    def check(self) -> None:
        self.fails.clear()
        before = {each.task.target: each for each in plan(self.root, self.tasks)}
        self.build()
        clean, ran = self.expected(), {target for target, _ in self.ran}
        for task in self.tasks:
            text = self.root / task.target / "text"
            if task.temporary and self.users(task):
                assert not text.parent.exists(), "nothing needs it any more"
            else:
                assert text.read_text() == clean[task.target]
            lock = locks.read(self.root / paths.lock(task.target))
            assert lock.outputs == {"text": hashlib.sha256(clean[task.target].encode()).hexdigest()}
            if task.target in ran and before[task.target].state == "spent" and self.users(task):
                needed = {before[user.target].how for user in self.users(task)}
                assert needed & {"run", "maybe"}, "nothing that reads it had to run"
        self.build()
        assert not self.ran, "a second build has nothing to do"
        assert not self.removed
        assert {each.how for each in plan(self.root, self.tasks)} == {"current"}


@pytest.mark.slow
@examples(80)
@given(sparing(), st.lists(st.lists(edits, min_size=1, max_size=4), max_size=4))
def test_after_any_edits_what_stays_equals_a_clean_build_and_what_is_spent_comes_back_only_when_it_is_read(
    tasks, rounds
):
    with tempfile.TemporaryDirectory() as place:
        world = Sparing(Path(place), tasks)
        world.check()
        for some in rounds:
            for what, which, value in some:
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


def here(project: Path) -> set[str]:
    return {path.name for path in (project / "data").iterdir() if path.is_dir()}


@pytest.mark.slow
def test_doit_removes_what_is_temporary_when_all_that_reads_it_is_built_and_leaves_it_away(project):
    assert "data/sample" not in (said := doit(project, "stage:good"))
    assert "-  stage:long  temporary" in said
    assert here(project) == {"sample", "good"}, "stage:other, which is not built yet, reads the sample"
    assert "-  dataset:sample  temporary" in doit(project)
    assert here(project) == {"good", "other"}
    assert doit(project).startswith("4 artifacts: 4 current")
    assert not list((project / ".punie" / "staging").rglob("*.jsonl"))


@pytest.mark.slow
def test_what_is_spent_is_made_again_for_what_must_run_and_for_nothing_else(project):
    doit(project)
    edit(project, "content-quality", "repetition")
    assert ran(doit(project)) == {"dataset:sample", "stage:long", "stage:good"}
    assert here(project) == {"good", "other"}


@pytest.mark.slow
def test_what_is_spent_can_be_asked_for_by_name(project):
    doit(project)
    assert ran(doit(project, "stage:long")) == {"dataset:sample", "stage:long"}
    assert here(project) == {"long", "good", "other"}


@pytest.mark.slow
def test_a_temporary_target_is_not_kept_in_the_store(project):
    doit(project)
    digest = locks.read(project / paths.lock("data/long")).outputs["dropped.jsonl"]
    kept = {path.name for path in (project / ".punie" / "store" / "blobs").glob("*/*")}
    assert digest not in kept
    assert locks.read(project / paths.lock("data/good")).outputs["dropped.jsonl"] in kept
