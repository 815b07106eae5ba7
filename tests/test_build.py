from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from punie_build import build, fingerprint, layout, locks
from punie_build.build import ChangedError, Work
from punie_build.graph import Task


def task(**config: object) -> Task:
    return Task(kind="stage", name="s", doc="", target="data/s", spec=None, config=config, inputs=("data/in",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "train.jsonl").write_text("one\n")
    return tmp_path


class Step:
    """Writes its input in capitals, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, work: Work) -> str:
        self.runs += 1
        (work.out / "train.jsonl").write_text((work.root / "data/in/train.jsonl").read_text().upper())
        return "made"


def test_a_target_is_made_once_and_only_again_when_something_it_is_made_from_changes(root):
    step = Step()
    assert build.state(root, task(a=1)) == "absent"
    assert build.build(root, task(a=1), step) == "made"
    assert build.state(root, task(a=1)) == "current"
    assert build.build(root, task(a=1), step) is None
    assert build.state(root, task(a=2)) == "stale"
    (root / "data/in/train.jsonl").write_text("two\n")
    assert build.state(root, task(a=1)) == "stale"
    assert build.build(root, task(a=1), step) == "made"
    assert step.runs == 2
    assert (root / "data/s/train.jsonl").read_text() == "TWO\n"


def test_an_edited_target_is_noticed_and_made_again(root):
    build.build(root, task(), Step())
    (root / "data/s/train.jsonl").write_text("mine")
    assert build.state(root, task()) == "edited"
    build.build(root, task(), Step())
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_touching_an_input_changes_nothing(root):
    build.build(root, task(), Step())
    (root / "data/in/train.jsonl").write_text("one\n")
    assert build.state(root, task()) == "current"


def test_going_back_to_an_earlier_recipe_restores_it(root):
    step = Step()
    build.build(root, task(a=1), step)
    first = (root / layout.lock("data/s")).read_bytes()
    build.build(root, task(a=2), step)
    assert "restored from the store" in build.build(root, task(a=1), step)
    assert step.runs == 2
    assert build.state(root, task(a=1)) == "current"
    assert (root / layout.lock("data/s")).read_bytes() == first


def test_a_rotten_blob_is_found_and_made_again(root):
    step = Step()
    build.build(root, task(a=1), step)
    for blob in (root / layout.STATE / "store" / "blobs").glob("*/*"):
        blob.write_text("rot")
    (root / "data/s/train.jsonl").write_text("edited")
    assert build.build(root, task(a=1), step) == "made"
    assert step.runs == 2
    (root / "data/s/train.jsonl").write_text("edited")
    assert "restored" in build.build(root, task(a=1), step)
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_what_is_in_the_store_cannot_be_changed_through_a_target(root):
    build.build(root, task(), Step())
    with (root / "data/s/train.jsonl").open("r+") as file:
        file.write("XX")
    build.build(root, task(), Step())
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"


def test_publishing_never_leaves_a_moment_without_a_target(root):
    """A reader that looks all the time sees the old or the new, whole."""
    build.build(root, task(n=0), Step())
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((root / "data/s/train.jsonl").read_text())

    def step(work: Work) -> str:
        (work.out / "train.jsonl").write_text(str(work.task.config["n"]) * 1000)
        return "made"

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(1, 30):
        build.build(root, task(n=n), step)
    stop.set()
    reader.join()
    assert seen <= {"ONE\n", *(str(n) * 1000 for n in range(1, 30))}
    assert len(seen) > 1


def test_a_failed_step_leaves_the_old_target(root):
    build.build(root, task(a=1), Step())

    def fails(work: Work) -> str:
        (work.out / "train.jsonl").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build.build(root, task(a=2), fails)
    assert (root / "data/s/train.jsonl").read_text() == "ONE\n"
    assert build.state(root, task(a=1)) == "current"
    assert build.state(root, task(a=2)) == "stale"


def test_an_input_that_changes_while_the_step_runs_is_not_recorded(root):
    def slow(work: Work) -> str:
        text = Step()(work)
        (work.root / "data/in/train.jsonl").write_text("later\n")
        return text

    with pytest.raises(ChangedError, match="an input changed"):
        build.build(root, task(), slow)
    assert build.state(root, task()) == "absent"


def test_of_two_builds_at_once_one_runs_and_the_other_finds_it_done(root):
    step, said = Step(), []

    def slow(work: Work) -> str:
        time.sleep(0.3)
        return step(work)

    threads = [threading.Thread(target=lambda: said.append(build.build(root, task(), slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert step.runs == 1
    assert sorted(said, key=str) == [None, None, "made"]


def test_the_lock_holds_no_path_of_this_machine(root):
    build.build(root, task(a=1), Step())
    text = (root / layout.lock("data/s")).read_text()
    assert str(root) not in text
    lock = locks.read(root / layout.lock("data/s"))
    assert lock.key == lock.facts.key
    assert lock.facts.recipe == {"a": 1}


def test_a_torn_lock_counts_as_never_made(root):
    build.build(root, task(), Step())
    path = root / layout.lock("data/s")
    path.write_text(path.read_text()[:50])
    assert build.state(root, task()) == "absent"


def test_clean_removes_target_and_lock(root):
    build.build(root, task(), Step())
    build.clean(root, task())
    assert not (root / "data/s").exists()
    assert not (root / layout.lock("data/s")).exists()


def test_code_is_known_by_its_meaning():
    one = 'def f(x):\n    """Doc."""\n    return x + 1  # why\n'
    assert fingerprint.meaning(one) == fingerprint.meaning("def f( x ):\n\n    return (x+1)\n")
    assert fingerprint.meaning(one) != fingerprint.meaning(one.replace("+ 1", "+ 2"))
    assert all(fingerprint.code(kind) for kind in layout.FOLDERS)
