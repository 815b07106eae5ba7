from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import build, state
from punie_build.engine.acceptance import accept
from punie_build.engine.check import check
from punie_build.engine.work import StepResult, Work
from punie_build.errors import UseError
from punie_build.storage import locks, paths, store
from tests.support.text_tasks import text_task, with_step


def step(work: Work) -> StepResult:
    (work.out / "rows").write_text("60")
    return StepResult("built", {"rows": 60, "other": 1})


def rows(folder: Path) -> dict[str, float]:
    return {"rows": float((folder / "rows").read_text())}


def task(n: int = 1):
    return with_step(text_task("s", inputs=("raw.txt",), n=n), step, measured=rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    build.build(tmp_path, task())
    return tmp_path


def test_edited_files_of_another_recipe_are_current_once_accepted_and_the_lock_says_so(root):
    assert accept(root, task()) == ()
    (root / "data/s/rows").write_text("61")
    state.forget(root, task(2))
    reasons = ("recipe.n: 1 -> 2", "its files were edited")
    assert accept(root, task(2)) == reasons
    lock = locks.read(root / paths.lock("data/s"))
    assert (lock.metrics, lock.accepted) == ({"rows": 61, "other": 1}, reasons)
    assert state.state(root, task(2)) == "current"
    assert store.find(root, lock.key) == lock
    [result] = check(root, [task(2)], ("recipes",), ())
    assert (result.state, result.lines) == (
        "current",
        tuple(f"accepted as it was, not built: {reason}" for reason in reasons),
    )
    assert build.build(root, task(2), afresh=True).action == "ran"
    assert not locks.read(root / paths.lock("data/s")).accepted


def test_files_without_a_lock_may_be_accepted(root):
    (root / paths.lock("data/s")).unlink()
    assert accept(root, task()) == (build.NOT_BUILT,)
    assert state.state(root, task()) == "current"


def test_what_has_no_files_or_not_those_of_its_recipe_is_not_accepted(root):
    before = (root / paths.lock("data/s")).read_bytes()
    verified = task(2)
    verified = structs.replace(
        verified, kind=structs.replace(verified.kind, verify=lambda folder, spec, base: ["rank: 4, not 8"])
    )
    with pytest.raises(UseError, match=r"^rank: 4, not 8 - not accepted: "):
        accept(root, verified)
    with pytest.raises(UseError, match=r"^stage:t: data/t has no files that could be accepted - build it"):
        accept(root, structs.replace(task(), name="t"))
    assert (root / paths.lock("data/s")).read_bytes() == before


def test_a_temporary_target_that_was_accepted_is_in_no_store(root):
    temporary = structs.replace(task(2), temporary=True)
    (root / "data/s/rows").write_text("61")
    accept(root, temporary)
    lock = locks.read(root / paths.lock("data/s"))
    assert lock.accepted
    assert store.find(root, lock.key) is None
