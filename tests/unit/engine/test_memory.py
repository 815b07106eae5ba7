"""The file beside a target that its step reads again: torn by a power cut, it is written again as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import build, memory
from punie_build.engine.task import AnyTask
from punie_build.engine.work import StepResult, Work
from punie_build.storage import locks, paths, store
from tests.support.text_tasks import text_task, with_step

SPLITS = "# sides of groups\n1 train\n2 valid\n"
BESIDE = "data/s.splits.lock"


def step(work: Work) -> StepResult:
    (work.out / paths.SPLITS_LOCK).write_text(SPLITS)
    return StepResult("built")


def task() -> AnyTask:
    return structs.replace(with_step(text_task(inputs=("raw.txt", BESIDE)), step), remembers=BESIDE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    build.build(tmp_path, task())
    assert (tmp_path / BESIDE).read_text() == SPLITS
    return tmp_path


def restored(root: Path) -> str:
    memory.restore_torn(build.work_of(root, task()), locks.read(root / paths.lock("data/s")))
    return (root / BESIDE).read_text()


@pytest.mark.parametrize("torn", ["", SPLITS[:-3], SPLITS[:20] + "\0" * 20], ids=["empty", "within a line", "zeros"])
@pytest.mark.parametrize("source", ["store", "target"])
def test_a_torn_memory_is_written_again_from_the_store_or_the_target(root, torn, source):
    (root / BESIDE).write_text(torn)
    shutil.rmtree(root / "data/s" if source == "store" else store.blob(root, "0" * 64).parents[2])
    assert restored(root) == SPLITS


@pytest.mark.parametrize("text", [SPLITS[:-8], SPLITS + "3 train\n", "another file"])
def test_a_memory_that_people_wrote_or_cut_at_a_line_stays(root, text):
    (root / BESIDE).write_text(text)
    assert restored(root) == text


def test_a_torn_memory_that_is_nowhere_stays(root):
    (root / BESIDE).write_text("")
    shutil.rmtree(root / "data/s")
    shutil.rmtree(store.blob(root, "0" * 64).parents[2])
    assert restored(root) == ""


def test_a_task_without_a_memory_or_with_none_yet_is_left_alone(tmp_path):
    (tmp_path / "raw.txt").write_text("raw")
    for each in (task(), structs.replace(task(), remembers="")):
        memory.restore_torn(build.work_of(tmp_path, each), None)
    assert not (tmp_path / BESIDE).exists()
