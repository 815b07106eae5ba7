"""Folders of a project that are links to another disk."""

from __future__ import annotations

import pytest

from punie_build.engine import build, state
from punie_build.engine.plan import plan
from punie_build.engine.work import StepResult, Work
from tests.support.text_tasks import text_task, with_step


def step(work: Work) -> StepResult:
    (work.out / "deep").mkdir()
    (work.out / "deep/text").write_text(f"{work.task.recipe}")
    return StepResult("built")


@pytest.mark.parametrize("linked", [("data",), (".punie",), ("data", ".punie")])
def test_targets_and_the_state_may_be_on_another_disk(tmp_path, other_disk, linked):
    (tmp_path / "raw.txt").write_text("raw")
    for name in linked:
        (other_disk / name).mkdir()
        (tmp_path / name).symlink_to(other_disk / name)
    one, two = (with_step(text_task("s", inputs=("raw.txt",), n=n), step) for n in (1, 2))
    assert build.build(tmp_path, one).action == "ran"
    assert build.build(tmp_path, two).action == "ran"
    assert build.build(tmp_path, one).action == "restored"
    assert build.build(tmp_path, one).action == "current"
    state.forget(tmp_path, one)
    assert build.build(tmp_path, one).action == "ran"
    state.clean(tmp_path, one)
    assert [item.action for item in plan(tmp_path, [one])] == ["restore"]
    assert build.build(tmp_path, one).action == "restored"
    assert (tmp_path / "data/s/deep/text").read_text() == "{'n': 1}"
    assert all((tmp_path / name).is_symlink() for name in linked)
    assert [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith(".")] == []
