from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from punie_build.storage import locks, paths, store
from punie_build.storage.store import GarbageCollection
from tests.support.stored_targets import (
    DAY,
    TARGET,
    action,
    age,
    blobs,
    build_text,
    empty_folder,
    put,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def test_the_files_that_a_lock_names_are_never_removed(root):
    lock, other = put(root, {"a": "1", "b": "2"}, 1), put(root, {"a": "3"}, 2)
    age(root, 1000)
    result = store.gc(root, [lock], days=0)
    assert result == GarbageCollection(1, 1, 2, 2)
    assert store.restore(root, lock.key, empty_folder(root)) == lock
    assert store.find(root, other.key) is None
    assert not action(root, other).exists()


def test_the_files_of_a_committed_lock_stay_though_the_newest_build_differs(root):
    committed = put(root, {"weights": "committed"})
    newest = put(root, {"weights": "newest"})
    age(root, 1000)
    store.gc(root, [committed], days=0)
    assert store.restore(root, committed.key, empty_folder(root), committed=committed) == committed
    assert store.find(root, newest.key) == newest, "the blobs of an action that stays also stay"


def test_recently_used_targets_stay_and_others_are_removed(root):
    used, old = put(root, {"a": "used", "both": "both"}, 1), put(root, {"a": "old", "both": "both"}, 2)
    age(root, 40)
    store.restore(root, used.key, empty_folder(root))
    result = store.gc(root, [], days=30)
    assert result.removed_blobs == 1
    assert store.restore(root, used.key, empty_folder(root)) == used
    assert not action(root, old).exists()
    age(root, 29)
    assert store.gc(root, [], days=30).removed_blobs == 0
    age(root, 31)
    assert store.gc(root, [], days=30) == GarbageCollection(2, 8, 0, 0)
    assert not blobs(root, used)[0].exists()


def test_a_new_blob_is_not_removed_for_an_hour(root):
    """A build writes its blobs first, and then the action that names them."""
    lock = put(root, {"a": "1"})
    assert store.gc(root, [], days=0).removed_blobs == 0
    assert store.find(root, lock.key, committed=lock) == lock
    age(root, 2 * store.GRACE_SECONDS / DAY, *blobs(root, lock))
    assert store.gc(root, [], days=0).removed_blobs == 1


def test_an_old_blob_that_a_build_has_put_again_counts_as_new(root):
    lock = put(root, {"a": "1"})
    age(root, 1000)
    put(root, {"a": "1"})
    action(root, lock).unlink()
    assert store.gc(root, [], days=0).removed_blobs == 0
    assert store.find(root, lock.key, committed=lock) == lock


def test_a_dry_run_reports_the_same_and_removes_no_file(root):
    put(root, {"a": "12345"})
    age(root, 1000)
    before = sorted((root / paths.STATE).rglob("*"))
    planned = store.gc(root, [], days=30, dry=True)
    assert sorted((root / paths.STATE).rglob("*")) == before
    assert planned == store.gc(root, [], days=30) == GarbageCollection(1, 5, 0, 0)
    assert not [path for path in (root / paths.STATE / "store").rglob("*") if path.is_file()]


def test_a_collection_without_a_store_removes_no_file(root):
    assert store.gc(root, [], days=0) == GarbageCollection(0, 0, 0, 0)
    assert list(store.verify(root)) == []


def test_after_a_collection_a_named_target_is_restored_and_others_are_built(root):
    (root / "data/in").mkdir(parents=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    for recipe in (1, 2, 3):
        assert build_text(root, recipe).action == "ran"
    three = locks.read(root / paths.lock(TARGET))
    age(root, 1000)
    store.gc(root, [three], days=0)
    shutil.rmtree(root / TARGET)
    assert build_text(root, 3).action == "restored"
    assert build_text(root, 1).action == "ran", "no lock named it"
    assert build_text(root, 3).action == "restored"


def test_a_file_that_a_build_used_since_it_was_listed_is_not_removed(root):
    [path] = blobs(root, put(root, {"a": "1"}))
    listed = path.stat()
    os.utime(path, ns=(0, listed.st_mtime_ns + 1))
    store._remove(path, listed)
    assert path.exists()
    store._remove(path, path.stat())
    assert not path.exists()
    store._remove(path, listed)
