from __future__ import annotations

import math
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from punie_build.engine import build, state
from punie_build.engine.build import InputChangedError, StoreLostError
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.schema.spec import Spec
from punie_build.storage import locks, paths, store
from punie_build.storage.atomic import remove
from tests.support.text_tasks import text_task, with_step


def task(**recipe: object) -> Task:
    return text_task("s", inputs=("data/in",), **recipe)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "train.jsonl").write_text("one\n")
    return tmp_path


class Step:
    """A step that writes its input in capitals, and counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, work: Work) -> StepResult:
        self.runs += 1
        (work.out / "train.jsonl").write_text((work.root / "data/in/train.jsonl").read_text().upper())
        return StepResult("built", {"rows": 1})


def test_a_target_is_built_once_and_again_only_when_an_input_changes(root):
    step = Step()
    assert state.state(root, task(a=1)) == "absent"
    assert build.build(root, with_step(task(a=1), step)).message == "built"
    assert state.state(root, task(a=1)) == "current"
    assert build.build(root, with_step(task(a=1), step)).action == "current"
    assert state.state(root, task(a=2)) == "stale"
    (root / "data/in/train.jsonl").write_text("two\n")
    assert state.state(root, task(a=1)) == "stale"
    assert build.build(root, with_step(task(a=1), step)).message == "built"
    assert step.runs == 2
    assert (root / "data/s/train.jsonl").read_text() == "TWO\n"


def test_an_edited_target_is_detected_and_built_again(root):
    build.build(root, with_step(task(), Step()))
    (root / "data/s/train.jsonl").write_text("edited")
    assert state.state(root, task()) == "edited"
    build.build(root, with_step(task(), Step()))
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_an_input_that_is_rewritten_unchanged_is_no_change(root):
    build.build(root, with_step(task(), Step()))
    (root / "data/in/train.jsonl").write_text("one\n")
    assert state.state(root, task()) == "current"


def test_a_return_to_an_earlier_recipe_restores_its_target(root):
    step = Step()
    build.build(root, with_step(task(a=1), step))
    first = (root / paths.lock("data/s")).read_bytes()
    build.build(root, with_step(task(a=2), step))
    assert build.build(root, with_step(task(a=1), step)).action == "restored"
    assert step.runs == 2
    assert state.state(root, task(a=1)) == "current"
    assert (root / paths.lock("data/s")).read_bytes() == first


def test_a_corrupt_blob_is_detected_and_built_again(root):
    step = Step()
    build.build(root, with_step(task(a=1), step))
    for blob in (root / paths.STATE / "store" / "blobs").glob("*/*"):
        blob.write_text("corrupt")
    (root / "data/s/train.jsonl").write_text("edited")
    assert build.build(root, with_step(task(a=1), step)).message == "built"
    assert step.runs == 2
    (root / "data/s/train.jsonl").write_text("edited")
    assert build.build(root, with_step(task(a=1), step)).action == "restored"
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_an_edit_of_a_target_does_not_change_the_store(root):
    build.build(root, with_step(task(), Step()))
    with (root / "data/s/train.jsonl").open("r+") as file:
        file.write("XX")
    build.build(root, with_step(task(), Step()))
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_a_reader_sees_the_complete_old_or_new_target_at_any_time(root):
    build.build(root, with_step(task(n=0), Step()))
    texts, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            texts.add((root / "data/s/train.jsonl").read_text())

    def step(work: Work) -> StepResult:
        (work.out / "train.jsonl").write_text(str(work.task.recipe["n"]) * 1000)
        return StepResult("built")

    reader = threading.Thread(target=watch)
    reader.start()
    for n in range(1, 30):
        build.build(root, with_step(task(n=n), step))
    stop.set()
    reader.join()
    assert texts <= {"ONE\n", *(str(n) * 1000 for n in range(1, 30))}
    assert len(texts) > 1


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


def test_a_build_fails_if_an_input_changes_while_the_step_runs(root):
    def slow(work: Work) -> StepResult:
        result = Step()(work)
        (work.root / "data/in/train.jsonl").write_text("later\n")
        return result

    with pytest.raises(InputChangedError, match="an input changed"):
        build.build(root, with_step(task(), slow))
    assert state.state(root, task()) == "absent"


def test_of_builds_at_the_same_time_one_runs_and_the_others_find_its_target(root):
    step, actions = Step(), []

    def slow(work: Work) -> StepResult:
        time.sleep(0.3)
        return step(work)

    threads = [
        threading.Thread(target=lambda: actions.append(build.build(root, with_step(task(), slow)).action))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert step.runs == 1
    assert sorted(actions) == ["current", "current", "ran"]


def test_a_lock_names_no_path_of_this_machine(root):
    build.build(root, with_step(task(a=1), Step()))
    text = (root / paths.lock("data/s")).read_text()
    assert str(root) not in text
    lock = locks.read(root / paths.lock("data/s"))
    assert lock.key == lock.key_inputs.key
    assert lock.key_inputs.recipe == {"a": 1}


def test_a_target_with_a_damaged_lock_counts_as_never_built(root):
    build.build(root, with_step(task(), Step()))
    path = root / paths.lock("data/s")
    path.write_text(path.read_text()[:50])
    assert state.state(root, task()) == "absent"


def test_an_equal_rebuild_leaves_the_bytes_of_the_lock_and_renews_its_time(root):
    """Git has nothing to commit, and pages that are older than the lock are drawn again."""
    build.build(root, with_step(task(), Step()))
    lock = root / paths.lock("data/s")
    before = lock.read_bytes()
    os.utime(lock, ns=(1, 1))
    assert build.build(root, with_step(task(), Step()), afresh=True).action == "ran"
    assert lock.read_bytes() == before
    assert lock.stat().st_mtime_ns > 1


def test_clean_removes_the_target_and_the_next_build_restores_it(root):
    step = Step()
    build.build(root, with_step(task(), step))
    state.clean(root, task())
    assert not (root / "data/s").exists()
    assert state.state(root, task()) == "absent"
    assert build.build(root, with_step(task(), step)).action == "restored"
    assert step.runs == 1


def test_a_forgotten_target_is_built_again_and_not_restored(root):
    step = Step()
    build.build(root, with_step(task(), step))
    state.forget(root, task())
    assert state.state(root, task()) == "forgotten"
    outcome = build.build(root, with_step(task(), step))
    assert (outcome.action, outcome.reasons) == ("ran", ("it was forgotten",))
    assert state.state(root, task()) == "current"
    assert build.build(root, with_step(task(), step), afresh=True).action == "ran"
    assert step.runs == 3


def test_a_step_learns_since_when_its_target_is_forgotten(root):
    work: list[Work] = []

    def step(each: Work) -> StepResult:
        work.append(each)
        (each.out / "train.jsonl").write_text("one")
        return StepResult("", earlier_seconds=100.0)

    build.build(root, with_step(task(), step))
    assert locks.read(root / paths.lock(task().target)).seconds >= 100, "a resumed step counts as a whole"
    before = time.time() - 1
    state.forget(root, task())
    build.build(root, with_step(task(), step))
    build.build(root, with_step(task(), step), afresh=True)
    assert [each.afresh for each in work] == [False, True, True]
    assert before <= work[1].since <= time.time()
    assert work[2].since == math.inf, "`doit -a` trusts no cache"


def test_a_failed_step_leaves_no_staging_folder(root):
    def fails(work: Work) -> StepResult:
        (work.out / "big").write_bytes(bytes(1000))
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        build.build(root, with_step(task(), fails))
    assert not list((root / paths.STATE / "staging").rglob("big"))


def test_a_file_that_a_step_does_not_read_is_no_input(root):
    """Other counts in a dataset's stats.json must not retrain an adapter."""
    reader = msgspec.structs.replace(task(), reads=("train.jsonl",))
    build.build(root, with_step(reader, Step()))
    (root / "data/in/stats.json").write_text("{}")
    assert state.state(root, reader) == "current"
    assert state.state(root, task()) == "stale"


def test_the_reasons_of_a_build_are_reported_value_by_value_and_logged(root):
    build.build(root, with_step(task(a=1), Step()))
    outcome = build.build(root, with_step(task(a=2), Step()))
    assert outcome.reasons == ("recipe.a: 1 -> 2",)
    assert "because recipe.a: 1 -> 2" in (root / paths.logs("data/s") / "build.log").read_text()


def test_a_lock_has_the_metrics_and_a_forged_lock_is_not_read(root):
    build.build(root, with_step(task(a=1), Step()))
    path = root / paths.lock("data/s")
    assert locks.read(path).metrics == {"rows": 1}
    text = re.sub(r',\n "digest": "\w+"', "", path.read_text())  # as earlier versions wrote it
    for old, new, content in (("1", "2", text), ('"rows": 1', '"rows": 5000', path.read_text())):
        path.write_text(content.replace(old, new))
        assert locks.read(path) is None
    for name in ("../../x", "/etc/x", "a/../../x", "./x", "a/./b"):
        assert locks.decode(text.replace('"train.jsonl"', f'"{name}"').encode()) is None
    assert locks.decode(text.replace('"train.jsonl"', '"a/..b/c"').encode())


class Knobs(Spec, frozen=True, kw_only=True):
    """A table of a recipe, to which `new` and `more` were added."""

    old: int = 1
    new: int = 5
    more: tuple[str, ...] = ()


class Nested(Spec, frozen=True, kw_only=True):
    knobs: Knobs = Knobs()
    items: tuple[Knobs, ...] = (Knobs(),)


def test_a_new_field_with_its_default_value_changes_no_key(root):
    """Otherwise a new field of punie-build would retrain every adapter."""

    def nested(**knobs: int) -> Task:
        spec = Nested(knobs=Knobs(**knobs))
        return msgspec.structs.replace(task(**msgspec.to_builtins(spec)), spec=spec)

    before = {"knobs": {"old": 1}, "items": [{"old": 1}]}
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


class Renewed(Spec, frozen=True, kw_only=True):
    """A table whose default of `way` was "old"."""

    FORMER_DEFAULTS: ClassVar = {"way": "old"}
    way: str = "new"
    size: int = 1


def test_a_lock_with_a_former_default_is_current_and_built_again_the_same_way(root):
    def renewed(step: Step, **values: object) -> Task:
        spec = Renewed(**values)
        return with_step(msgspec.structs.replace(task(**msgspec.to_builtins(spec)), spec=spec), step)

    ways = []

    class Recording(Step):
        def __call__(self, work):
            ways.append(work.key_inputs.recipe["way"])
            return super().__call__(work)

    step = Recording()
    build.build(root, renewed(step, way="old"))
    assert state.state(root, renewed(step)) == "current"
    state.clean(root, renewed(step))
    shutil.rmtree(root / paths.STATE / "store")
    build.build(root, renewed(step))
    assert state.state(root, renewed(step, way="other")) == "stale"
    build.build(root, renewed(step, size=2))
    assert ways == ["old", "old", "new"]


def place(kind: str, path: Path) -> None:
    match kind:
        case "file":
            path.write_text("by hand")
        case "pipe":
            os.mkfifo(path)
        case "link to nowhere":
            path.symlink_to("nowhere")
        case "link":
            (path.parent / "elsewhere").mkdir(exist_ok=True)
            (path.parent / "elsewhere/mine").write_text("by hand")
            path.symlink_to("elsewhere")


@pytest.mark.parametrize("kind", ["file", "pipe", "link to nowhere", "link"])
@pytest.mark.parametrize("where", ["data/s", ".punie/staging/data/s", ".punie/logs/data/s"])
def test_whatever_is_in_the_way_is_replaced_again_and_again(root, kind, where):
    build.build(root, with_step(task(), Step()))
    for _ in range(2):
        remove(root / where)
        (root / where).parent.mkdir(parents=True, exist_ok=True)
        place(kind, root / where)
        state.forget(root, task())
        assert build.build(root, with_step(task(), Step())).action == "ran"
        assert state.state(root, task()) == "current"
        assert not (root / "data/s").is_symlink()
    assert kind != "link" or [path.read_text() for path in root.rglob("elsewhere/mine")] == ["by hand"]
    assert not (root / ".punie/staging/data/s").exists()


def test_what_people_put_into_a_target_is_kept_aside_and_named(root, capsys):
    build.build(root, with_step(task(), Step()))
    aside = root / ".punie/replaced/data/s"
    (root / "data/s/train.jsonl").write_text("edited")
    (root / "data/s/notes.txt").write_text("mine")
    assert build.build(root, with_step(task(), Step())).action == "restored"
    assert {path.name: path.read_text() for path in aside.iterdir()} == {"train.jsonl": "edited", "notes.txt": "mine"}
    assert "kept in .punie/replaced/data/s" in (text := capsys.readouterr().out)
    assert "notes.txt" in text
    remove(root / "data/s")
    (root / "data/s").write_text("a file")
    build.build(root, with_step(task(), Step()))
    assert aside.read_text() == "a file"
    remove(aside)
    build.build(root, with_step(task(a=2), Step()))
    assert not aside.exists(), "what was built here is no loss"


def test_a_lock_without_files_counts_as_none(root):
    build.build(root, with_step(task(), Step()))
    path = root / paths.lock("data/s")
    path.write_bytes(locks.encode(msgspec.structs.replace(locks.read(path), outputs={})))
    assert locks.read(path) is None
    assert build.build(root, with_step(task(), Step())).action == "restored"
    assert (root / "data/s/train.jsonl").exists()


def test_a_record_that_cannot_be_restored_counts_as_none(root):
    lock = build.build(root, with_step(task(), Step())) and locks.read(root / paths.lock("data/s"))
    [digest] = lock.outputs.values()
    action = root / ".punie/store/actions" / lock.key[:2] / lock.key
    for outputs in ({"x" * 5000: digest}, {"a": digest, "a/b": digest}):
        action.write_bytes(locks.encode(msgspec.structs.replace(lock, outputs=outputs)))
        (root / paths.lock("data/s")).unlink()
        remove(root / "data/s")
        assert build.build(root, with_step(task(), Step())).action == "ran"


def test_a_result_of_a_worker_is_what_the_store_gives_for_the_key_of_now(root):
    build.build(root, with_step(task(), Step()))
    work, lock = build.work_of(root, task()), locks.read(root / paths.lock("data/s"))
    assert build.restore_result(work, lock, lock.key_inputs) == lock
    (root / "data/in/train.jsonl").write_text("two\n")
    with pytest.raises(InputChangedError, match="an input changed during this step"):
        build.restore_result(work, lock, lock.key_inputs)
    shutil.rmtree(store.blob(root, "0" * 64).parents[2])
    with pytest.raises(StoreLostError, match="the shared store does not give it back"):
        build.restore_result(work, lock, lock.key_inputs)
