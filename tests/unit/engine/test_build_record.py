"""Build records: when, at which commit and on which machine a target was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import build, build_record
from punie_build.engine.work import StepResult, Work
from punie_build.storage import locks, paths
from tests.support.text_tasks import text_task, with_step


def step(work: Work) -> StepResult:
    (work.out / "text").write_text((work.root / "raw.txt").read_text())
    return StepResult("built", {})


TASK = with_step(text_task("s", inputs=("raw.txt",)), step)


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit."""
    (tmp_path / "raw.txt").write_text("one")
    (tmp_path / "recipes").mkdir()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def record_of(root: Path) -> build_record.BuildRecord | None:
    lock = locks.read(root / paths.lock(TASK.target))
    return build_record.read(root, TASK.target, lock.key)


def test_a_result_has_its_commit_and_machine_and_a_restored_one_those_of_its_making(root):
    build.build(root, TASK)
    first = record_of(root)
    assert (first.commit, first.is_changed, first.restored) == (git(root, "rev-parse", "HEAD"), False, False)
    assert first.machine
    assert first.describe().startswith(
        f"built {first.time[:10]} {first.time[11:16]} UTC at commit {first.commit[:10]}, on"
    )
    (root / "raw.txt").write_text("two")
    build.build(root, TASK)
    assert record_of(root).key != first.key
    (root / "raw.txt").write_text("one")
    assert build.build(root, TASK).action == "restored"
    assert record_of(root) == first
    (root / paths.build_records(TASK.target)).unlink()
    (root / "raw.txt").write_text("two")
    assert build.build(root, TASK).action == "restored"
    assert record_of(root).describe().startswith("restored from the store 20")


@pytest.mark.parametrize(
    ("name", "is_changed"),
    [("raw.txt", True), ("recipes/new.toml", True), ("other.txt", False), ("data/s.lock.json", False)],
)
def test_changed_files_and_new_recipes_are_uncommitted_changes_and_locks_are_none(root, name, is_changed):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("changed")
    build_record.commit_of.cache_clear()
    assert build_record.commit_of(root).is_changed is is_changed


def test_no_record_enters_a_lock_and_a_damaged_one_counts_as_none(root):
    build.build(root, TASK)
    record, lock = record_of(root), (root / paths.lock(TASK.target)).read_text()
    assert not any(text in lock for text in (record.time[:10], record.commit, record.machine))
    path = root / paths.build_records(TASK.target)
    path.write_bytes(path.read_bytes().replace(b'"built', b'"').replace(record.time.encode(), b"2001"))
    assert record_of(root) is None
    build.build(root, structs.replace(TASK, recipe={"other": 1}))
    assert len(build_record._records(root, TASK.target)) == 1


def test_the_last_results_of_a_target_are_kept_and_a_folder_in_the_way_stops_no_build(root):
    for index in range(build_record.MAX_KEPT + 3):
        build_record.write(root, "data/s", f"{index}", restored=False)
    assert build_record.read(root, "data/s", "2") is None
    assert build_record.read(root, "data/s", "3")
    assert build_record.read(root, "data/s", f"{build_record.MAX_KEPT + 2}")
    (root / paths.build_records(TASK.target)).unlink()
    (root / paths.build_records(TASK.target) / "mine").mkdir(parents=True)
    assert build.build(root, TASK).action == "ran"


def test_outside_a_repository_there_is_no_commit(tmp_path):
    assert build_record.commit_of(tmp_path) == build_record.Commit()
