"""Everything that surrounds the step of a build: checks, workers, devices, metrics, memory and temporary targets."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import field, structs

from punie_build.engine import build, state
from punie_build.engine.build import BadMetricError, EmptyTargetError, ExpectationError, InputChangedError
from punie_build.engine.gates import Expected
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.errors import ModelError
from punie_build.runtime import idle
from punie_build.schema.spec import Spec
from punie_build.storage import digests, locks, paths, store
from tests.support.text_tasks import text_task, with_step

MEMORY = "data/s.splits.lock"


class Expecting(Spec, frozen=True, kw_only=True):
    expect: Expected = field(default_factory=dict)


class FolderInput:
    """A model that no task builds."""

    def __init__(self, path: str) -> None:
        self.path = path

    def identity(self, root: Path, pointers: bool = False) -> str:
        return digests.of_tree(root / self.path)

    def present(self, root: Path) -> Path | None:
        return root / self.path


def step(work: Work) -> StepResult:
    (work.out / "text").write_text((work.root / "raw.txt").read_text().upper())
    return StepResult("built", {"rows": 3})


def task(**fields: Any) -> Task:
    return structs.replace(text_task("s", inputs=("raw.txt",)), **fields)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    return tmp_path


def test_a_failed_check_before_the_step_ends_the_build(root):
    steps = []

    def check(work: Work) -> None:
        steps.append("check")
        if work.task.name == "s":
            raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        build.build(root, with_step(task(), step, check_first=check))
    assert not (root / "data/s").exists()
    assert build.build(root, with_step(task(name="t"), step, check_first=check)).action == "ran"
    assert steps == ["check", "check"]


def test_an_exclusive_step_frees_the_memory_of_idle_processes_first(root):
    events = []
    idle.on_release(lambda: events.append("released"))

    def training(work: Work) -> StepResult:
        events.append("step")
        return step(work)

    build.build(root, with_step(task(), training, exclusive="test of the engine"))
    assert events == ["released", "step"]


def test_a_step_in_a_worker_has_all_that_decides_the_result(root):
    seen = []

    def observe(work: Work) -> StepResult:
        seen.append(work.key_inputs)
        return step(work)

    build.build(root, with_step(task(), observe, in_worker=True))
    build.build(root, with_step(task(name="t", recipe={"n": 1}), observe))
    assert [inputs.kind for inputs in seen] == ["stage", "stage"]
    assert seen[0] == locks.read(root / paths.lock("data/s")).key_inputs


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_finite_number_ends_the_build(root, value):
    def diverging(work: Work) -> StepResult:
        return structs.replace(step(work), metrics={"loss": value, "rows": 3})

    with pytest.raises(BadMetricError, match=r"^loss: not a finite number, so no gate can judge the result"):
        build.build(root, with_step(task(), diverging))
    assert state.state(root, task()) == "absent"


@pytest.mark.parametrize("name", ["", ".hidden", "text~"])
def test_a_step_that_writes_no_file_ends_the_build(root, name):
    def silent(work: Work) -> StepResult:
        if name:
            (work.out / name).write_text("clutter")
        return StepResult("built")

    build.build(root, with_step(task(), step))
    with pytest.raises(EmptyTargetError, match=r"^the step wrote no file - "):
        build.build(root, with_step(task(recipe={"n": 1}), silent))
    assert state.state(root, task()) == "current"


def test_data_that_differs_from_its_expectations_is_stored_and_not_published(root):
    wrong, right = (task(spec=Expecting(expect={"rows": rows}), file="recipes/r.toml") for rows in (4, 3))
    with pytest.raises(ExpectationError) as caught:
        build.build(root, with_step(wrong, step))
    assert str(caught.value).splitlines() == [
        "recipes/r.toml: stage.s.expect.rows: 3, but the recipe expects 4 (built)",
        "not published - fix the data, or change `expect`",
    ]
    assert not (root / "data/s").exists()
    assert build.build(root, with_step(right, step)).action == "restored"
    assert build.build(root, with_step(right, step)).action == "current"
    with pytest.raises(ExpectationError):
        build.build(root, with_step(wrong, step))


def test_what_a_step_remembers_is_published_and_is_the_input_of_the_next_build(root):
    def remembering(work: Work) -> StepResult:
        memory = work.memory()
        assert memory
        known = memory.read_text() if memory.exists() else ""
        text = (work.root / "raw.txt").read_text()
        (work.out / paths.SPLITS_LOCK).write_text(known if text in known else f"{known}{text}\n")
        return step(work)

    user = task(inputs=("raw.txt", MEMORY), remembers=MEMORY)
    assert build.build(root, with_step(user, remembering)).action == "ran"
    assert (root / MEMORY).read_text() == "raw\n"
    assert build.build(root, with_step(user, remembering)).action == "current"
    (root / "raw.txt").write_text("more")
    assert build.build(root, with_step(user, remembering)).action == "ran"
    assert (root / MEMORY).read_text() == "raw\nmore\n"
    assert build.build(root, with_step(user, remembering)).action == "current"


def test_a_step_may_remember_nothing(root):
    user = task(inputs=("raw.txt", MEMORY), remembers=MEMORY)
    assert build.build(root, with_step(user, step)).action == "ran"
    assert not (root / MEMORY).exists()


def test_a_temporary_target_is_not_stored(root):
    temporary = task(temporary=True)
    assert build.build(root, with_step(temporary, step)).action == "ran"
    shutil.rmtree(root / "data/s")
    assert state.state(root, temporary) == "removed"
    assert build.build(root, with_step(temporary, step)).action == "ran"


def test_a_step_whose_temporary_input_was_removed_does_not_run(root):
    build.build(root, with_step(task(temporary=True), step))
    user = structs.replace(text_task("user", "s"), temporary_inputs=("data/s",))
    shutil.rmtree(root / "data/s")
    with pytest.raises(InputChangedError, match=r"^data/s: temporary, and removed meanwhile - build again"):
        build.build(root, with_step(user, step))


def test_a_target_may_be_built_into_the_store_alone_and_is_then_restored(root):
    lock = build.build_to_store(root, with_step(task(), step))
    assert not (root / "data/s").exists()
    assert not (root / paths.lock("data/s")).exists()
    assert not (root / paths.staging("data/s")).exists()

    def fails(work: Work) -> StepResult:
        raise ModelError("the store has it")

    assert build.build_to_store(root, with_step(task(), fails)) == lock
    outcome = build.build(root, with_step(task(), fails))
    assert (outcome.action, outcome.saved, outcome.key) == ("restored", lock.seconds, lock.key)


def test_a_build_waits_for_another_build_of_its_target(root, capfd):
    entered, leave = threading.Event(), threading.Event()

    def slow(work: Work) -> StepResult:
        entered.set()
        leave.wait(10)
        return step(work)

    first = threading.Thread(target=build.build, args=(root, with_step(task(), slow)))
    second = threading.Thread(target=build.build, args=(root, with_step(task(), slow)))
    first.start()
    entered.wait(10)
    second.start()
    log = root / paths.logs("data/s") / "build.log"
    while not log.exists():
        leave.wait(0.01)
    assert log.read_text() == "waiting for another build of this target\n"
    leave.set()
    first.join()
    second.join()
    assert state.state(root, task()) == "current"


def test_an_equal_rebuild_leaves_the_lock_as_it_is(root):
    """The seconds of a run, and the batch from which it resumed, are no result: git has nothing to commit."""
    resumed = iter(range(9))

    def timed(work: Work) -> StepResult:
        time.sleep(0.02)
        return structs.replace(step(work), metrics={"rows": 3, "resumed": next(resumed)})

    user = with_step(task(), timed, history=frozenset(("resumed",)))
    path = root / paths.lock("data/s")
    build.build(root, user)
    before = path.read_bytes()
    assert build.build(root, user, afresh=True).action == "ran"
    assert path.read_bytes() == before
    other = with_step(task(), lambda work: structs.replace(step(work), metrics={"rows": 4}))
    build.build(root, other, afresh=True)
    assert locks.read(path).metrics == {"rows": 4}


@pytest.mark.parametrize("version", [None, 1])
def test_a_lock_that_contradicts_the_store_is_not_restored_where_the_step_can_tell(root, capsys, version):
    user = with_step(task(), step, version=version)
    build.build(root, user)
    path = root / paths.lock("data/s")
    lock = locks.read(path)
    (root / "other").mkdir()
    (root / "other/text").write_text("poisoned")
    poisoned = structs.replace(lock, outputs=digests.of_folder(root / "other"))
    store.put(root, root / "other", poisoned)
    store.put(root, root / "data/s", lock)
    locks.write(path, poisoned)
    shutil.rmtree(root / "data/s")
    assert build.build(root, user).action == ("ran" if version is None else "restored")
    assert (root / "data/s/text").read_text() == ("RAW" if version is None else "poisoned")
    assert ("built again to see which of them is right" in capsys.readouterr().out) is (version is None)


@pytest.mark.parametrize("kind", ["file", "file of a folder", "file of a base"])
@pytest.mark.parametrize("way", ["write", "rename"])
def test_an_input_that_changes_and_changes_back_during_a_step_is_named(root, kind, way):
    place = {"file": "raw.txt", "file of a folder": "raw/deep/raw.txt", "file of a base": "base/raw.txt"}[kind]
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raw")
    user = task(inputs=() if "base" in kind else (place.partition("/")[0],))
    user = structs.replace(user, external={"base": FolderInput("base")} if "base" in kind else {})

    def disturbed(work: Work) -> StepResult:
        for text in ("wrong", "raw"):
            if way == "write":
                path.write_text(text)
            else:
                path.with_name("new").write_text(text)
                path.with_name("new").replace(path)
            (work.out / text).write_text(path.read_text())
        return StepResult("built")

    name = place.replace("base/", "base ")
    with pytest.raises(InputChangedError, match=f"^written during this step, though they are as they were: {name} - "):
        build.build(root, with_step(user, disturbed))
    assert not (root / "data/s").exists()
    assert state.state(root, user) == "forgotten"
    assert (
        build.build(root, with_step(user, lambda work: step(structs.replace(work, root=path.parent)))).action == "ran"
    )


def test_the_card_of_a_target_and_files_that_a_step_does_not_read_may_be_written_meanwhile(root):
    (root / "adapters/a").mkdir(parents=True)
    (root / "data/in").mkdir(parents=True)
    for name in ("adapters/a/weights", "adapters/a/README.md", "data/in/train.jsonl", "data/in/stats.json"):
        (root / name).write_text("text")

    def draws(work: Work) -> StepResult:
        (root / "adapters/a/README.md").write_text("card")
        (root / "data/in/stats.json").write_text("text")
        return step(work)

    for inputs, reads in ((("adapters/a",), ()), (("data/in",), ("train.jsonl",))):
        assert build.build(root, with_step(task(inputs=inputs, reads=reads), draws)).action == "ran"
