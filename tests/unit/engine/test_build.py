from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest

from punie_build.engine import build, state
from punie_build.engine.build import InputChangedError
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.schema.spec import Spec
from punie_build.storage import locks, paths
from tests.support.text_tasks import text_task, with_step


def task(**recipe: object) -> Task:
    return text_task("s", inputs=("data/in",), **recipe)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "train.jsonl").write_text("one\n")
    return tmp_path


class Step:
    """Writes its input in capitals, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, work: Work) -> StepResult:
        self.runs += 1
        (work.out / "train.jsonl").write_text((work.root / "data/in/train.jsonl").read_text().upper())
        return StepResult("made", {"rows": 1})


def test_a_target_is_built_once_and_again_only_when_an_input_changes(root):
    step = Step()
    assert state.state(root, task(a=1)) == "absent"
    assert build.build(root, with_step(task(a=1), step)).message == "made"
    assert state.state(root, task(a=1)) == "current"
    assert build.build(root, with_step(task(a=1), step)).action == "current"
    assert state.state(root, task(a=2)) == "stale"
    (root / "data/in/train.jsonl").write_text("two\n")
    assert state.state(root, task(a=1)) == "stale"
    assert build.build(root, with_step(task(a=1), step)).message == "made"
    assert step.runs == 2
    assert (root / "data/s/train.jsonl").read_text() == "TWO\n"


def test_an_edited_target_is_noticed_and_made_again(root):
    build.build(root, with_step(task(), Step()))
    (root / "data/s/train.jsonl").write_text("mine")
    assert state.state(root, task()) == "edited"
    build.build(root, with_step(task(), Step()))
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_touching_an_input_changes_nothing(root):
    build.build(root, with_step(task(), Step()))
    (root / "data/in/train.jsonl").write_text("one\n")
    assert state.state(root, task()) == "current"


def test_going_back_to_an_earlier_recipe_restores_it(root):
    step = Step()
    build.build(root, with_step(task(a=1), step))
    first = (root / paths.lock("data/s")).read_bytes()
    build.build(root, with_step(task(a=2), step))
    assert build.build(root, with_step(task(a=1), step)).action == "restored"
    assert step.runs == 2
    assert state.state(root, task(a=1)) == "current"
    assert (root / paths.lock("data/s")).read_bytes() == first


def test_a_rotten_blob_is_found_and_made_again(root):
    step = Step()
    build.build(root, with_step(task(a=1), step))
    for blob in (root / paths.STATE / "store" / "blobs").glob("*/*"):
        blob.write_text("rot")
    (root / "data/s/train.jsonl").write_text("edited")
    assert build.build(root, with_step(task(a=1), step)).message == "made"
    assert step.runs == 2
    (root / "data/s/train.jsonl").write_text("edited")
    assert build.build(root, with_step(task(a=1), step)).action == "restored"
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_what_is_in_the_store_cannot_be_changed_through_a_target(root):
    build.build(root, with_step(task(), Step()))
    with (root / "data/s/train.jsonl").open("r+") as file:
        file.write("XX")
    build.build(root, with_step(task(), Step()))
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_publishing_never_leaves_a_moment_without_a_target(root):
    """A reader that looks all the time sees the old or the new, whole."""
    build.build(root, with_step(task(n=0), Step()))
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((root / "data/s/train.jsonl").read_text())

    def step(work: Work) -> StepResult:
        (work.out / "train.jsonl").write_text(str(work.task.recipe["n"]) * 1000)
        return StepResult("made")

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(1, 30):
        build.build(root, with_step(task(n=n), step))
    stop.set()
    reader.join()
    assert seen <= {"ONE\n", *(str(n) * 1000 for n in range(1, 30))}
    assert len(seen) > 1


def test_a_failed_step_leaves_the_old_target(root):
    build.build(root, with_step(task(a=1), Step()))

    def fails(work: Work) -> StepResult:
        (work.out / "train.jsonl").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build.build(root, with_step(task(a=2), fails))
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"
    assert state.state(root, task(a=1)) == "current"
    assert state.state(root, task(a=2)) == "stale"


def test_an_input_that_changes_while_the_step_runs_is_not_recorded(root):
    def slow(work: Work) -> StepResult:
        made = Step()(work)
        (work.root / "data/in/train.jsonl").write_text("later\n")
        return made

    with pytest.raises(InputChangedError, match="an input changed"):
        build.build(root, with_step(task(), slow))
    assert state.state(root, task()) == "absent"


def test_of_two_builds_at_once_one_runs_and_the_other_finds_it_done(root):
    step, said = Step(), []

    def slow(work: Work) -> StepResult:
        time.sleep(0.3)
        return step(work)

    threads = [
        threading.Thread(target=lambda: said.append(build.build(root, with_step(task(), slow)).action))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert step.runs == 1
    assert sorted(said) == ["current", "current", "ran"]


def test_the_lock_holds_no_path_of_this_machine(root):
    build.build(root, with_step(task(a=1), Step()))
    text = (root / paths.lock("data/s")).read_text()
    assert str(root) not in text
    lock = locks.read(root / paths.lock("data/s"))
    assert lock.key == lock.key_inputs.key
    assert lock.key_inputs.recipe == {"a": 1}


def test_a_torn_lock_counts_as_never_made(root):
    build.build(root, with_step(task(), Step()))
    path = root / paths.lock("data/s")
    path.write_text(path.read_text()[:50])
    assert state.state(root, task()) == "absent"


def test_clean_removes_the_target_and_the_next_build_restores_it(root):
    step = Step()
    build.build(root, with_step(task(), step))
    state.clean(root, task())
    assert not (root / "data/s").exists()
    assert state.state(root, task()) == "absent"
    assert build.build(root, with_step(task(), step)).action == "restored"
    assert step.runs == 1


def test_what_is_forgotten_is_made_again_and_not_restored(root):
    step = Step()
    build.build(root, with_step(task(), step))
    state.forget(root, task())
    assert state.state(root, task()) == "forgotten"
    outcome = build.build(root, with_step(task(), step))
    assert (outcome.action, outcome.reasons) == ("ran", ("it was forgotten",))
    assert state.state(root, task()) == "current"
    assert build.build(root, with_step(task(), step), afresh=True).action == "ran"
    assert step.runs == 3


def test_a_failed_step_leaves_no_staging_behind(root):
    def fails(work: Work) -> StepResult:
        (work.out / "big").write_bytes(bytes(1000))
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        build.build(root, with_step(task(), fails))
    assert not list((root / paths.STATE / "staging").rglob("big"))


def test_an_input_is_what_the_step_reads_of_it(root):
    """Other counts in a dataset's stats.json must not retrain an adapter."""
    reader = msgspec.structs.replace(task(), reads=("train.jsonl",))
    build.build(root, with_step(reader, Step()))
    (root / "data/in/stats.json").write_text("{}")
    assert state.state(root, reader) == "current"
    assert state.state(root, task()) == "stale"


def test_the_reasons_of_a_build_are_told_value_by_value_and_logged(root):
    build.build(root, with_step(task(a=1), Step()))
    outcome = build.build(root, with_step(task(a=2), Step()))
    assert outcome.reasons == ("recipe.a: 1 -> 2",)
    assert "because recipe.a: 1 -> 2" in (root / paths.logs("data/s") / "build.log").read_text()


def test_a_lock_holds_the_metrics_and_a_lock_that_lies_is_none(root):
    build.build(root, with_step(task(a=1), Step()))
    path = root / paths.lock("data/s")
    assert locks.read(path).metrics == {"rows": 1}
    honest = path.read_text()
    path.write_text(honest.replace('"a": 1', '"a": 2'))
    assert locks.read(path) is None
    for name in ("../../x", "/etc/x", "a/../../x", "./x", "a/./b"):
        assert locks.decode(honest.replace('"train.jsonl"', f'"{name}"').encode()) is None
    assert locks.decode(honest.replace('"train.jsonl"', '"a/..b/c"').encode())


class Knobs(Spec, frozen=True, kw_only=True):
    """What a recipe says, after `new` and `more` were added to it."""

    old: int = 1
    new: int = 5
    more: tuple[str, ...] = ()


class Nested(Spec, frozen=True, kw_only=True):
    knobs: Knobs = Knobs()
    some: tuple[Knobs, ...] = (Knobs(),)


def test_a_field_that_recipes_did_not_have_yet_changes_nothing_while_it_has_its_default(root):
    """Or a new knob of punie-build would retrain every adapter."""

    def nested(**knobs: int) -> Task:
        spec = Nested(knobs=Knobs(**knobs))
        return msgspec.structs.replace(task(**msgspec.to_builtins(spec)), spec=spec)

    before = {"knobs": {"old": 1}, "some": [{"old": 1}]}
    build.build(root, with_step(msgspec.structs.replace(task(**before), spec=Nested()), Step()))
    lock = locks.read(root / paths.lock("data/s"))
    assert lock.key_inputs.recipe["knobs"] == {"old": 1}
    assert state.state(root, nested()) == "current"
    step = Step()
    assert build.build(root, with_step(nested(), step)).action == "current"
    state.clean(root, nested())
    assert build.build(root, with_step(nested(), step)).action == "restored"
    assert build.build(root, with_step(nested(new=6), step)).reasons == ("recipe.knobs.new: (none) -> 6",)
    assert step.runs == 1
    assert build.build(root, with_step(nested(new=6), step)).action == "current"
