"""A build follows its plan, whatever was edited before."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine import state
from punie_build.storage import paths
from tests.support.profiles import examples
from tests.support.text_project import TextProject, task

NAMES = "abcde"
edits = st.tuples(
    st.sampled_from(("salt", "raw", "remove", "damage", "forget", "drop")),
    st.sampled_from(NAMES),
    st.integers(0, 2),
)


def apply(project: TextProject, edit: str, name: str, value: int) -> None:
    task = project.tasks[name]
    match edit:
        case "salt":
            project.salt(name, value)
        case "raw":
            (project.root / "raw.txt").write_text(str(value))
        case "remove":
            state.clean(project.root, task)
        case "damage":
            (project.root / task.target).mkdir(parents=True, exist_ok=True)
            (project.root / task.target / "text").write_text("edited")
        case "forget":
            state.forget(project.root, task)
        case "drop":
            shutil.rmtree(project.root / paths.STATE / "store", ignore_errors=True)


@pytest.mark.slow
@examples(40)
@given(st.lists(st.lists(edits, min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_build_does_what_the_plan_says(rounds):
    """Steps give other bytes for other inputs here: a plan then names exactly the tasks that the build runs."""
    with tempfile.TemporaryDirectory() as folder:
        graph = (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "d"))
        project = TextProject(Path(folder), *graph)
        project.build()
        for edits_ in rounds:
            for edit in edits_:
                apply(project, *edit)
            planned = project.actions()
            ran = set(project.build())
            assert {name for name, action in planned.items() if action == "run"} <= ran
            assert not {name for name, action in planned.items() if action in ("current", "restore")} & ran
            assert set(project.actions().values()) == {"current"}
