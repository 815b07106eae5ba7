from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from punie_build.storage import digests, locks, paths, store
from punie_build.storage.locks import KeyInputs, Lock
from tests.support.stored_targets import (
    TARGET,
    action,
    age,
    blobs,
    build_text,
    corrupt,
    empty_folder,
    put,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


# --- put, find, restore


def test_a_target_is_found_by_its_key_and_restored_byte_for_byte(root):
    lock = put(root, {"train.jsonl": "one\n", "deep/er/stats.json": "{}", "empty": ""})
    assert store.find(root, lock.key) == lock
    assert store.restore(root, lock.key, empty_folder(root)) == lock
    assert digests.of_folder(root / "out") == lock.outputs
    assert store.find(root, "0" * 64) is None
    assert store.restore(root, "0" * 64, empty_folder(root)) is None


def test_equal_files_are_one_blob(root):
    one = put(root, {"a": "same", "b": "same"}, 1)
    two = put(root, {"c": "same"}, 2)
    assert len(list((root / paths.STATE / "store" / "blobs").glob("*/*"))) == 1
    for lock in (one, two):
        assert store.restore(root, lock.key, empty_folder(root)) == lock


def test_the_build_of_the_committed_lock_is_restored_else_the_newest(root):
    """A GPU computes other bytes each time; the lock in git records which of them was agreed on."""
    first = put(root, {"weights": "first"})
    second = put(root, {"weights": "second"})
    assert first.key == second.key
    assert store.restore(root, first.key, empty_folder(root), committed=first) == first
    assert (root / "out/weights").read_text() == "first"
    assert store.restore(root, first.key, empty_folder(root)) == second
    assert (root / "out/weights").read_text() == "second"
    store.blob(root, first.outputs["weights"]).unlink()
    assert store.restore(root, first.key, empty_folder(root), committed=first) == second, "the only build of this key"


def test_a_committed_lock_of_another_key_is_ignored(root):
    old, new = put(root, {"a": "old"}, 1), put(root, {"a": "new"}, 2)
    assert store.find(root, new.key, committed=old) == new
    action(root, new).unlink()
    assert store.find(root, new.key, committed=old) is None


def test_a_committed_lock_replaces_a_missing_action_and_restoring_writes_it(root):
    lock = put(root, {"a": "1"})
    action(root, lock).unlink()
    assert store.find(root, lock.key) is None
    assert store.restore(root, lock.key, empty_folder(root), committed=lock) == lock
    assert store.find(root, lock.key) == lock


def test_an_incomplete_target_is_not_found(root):
    lock = put(root, {"a": "1", "b": "2"})
    store.blob(root, lock.outputs["b"]).unlink()
    assert store.find(root, lock.key) is None
    assert store.restore(root, lock.key, empty_folder(root)) is None


def test_many_threads_may_put_and_restore_targets_of_one_key(root):
    """Two stages may have one recipe and one input: `doit -n` builds them at the same time."""
    for name in range(8):
        (root / f"built{name}").mkdir()
        for file in range(20):
            (root / f"built{name}" / f"{file}").write_text(f"{file}" * 500)
    key_inputs = KeyInputs(kind="stage", recipe={}, code="c", inputs={}, tools={})
    lock = Lock(key=key_inputs.key, key_inputs=key_inputs, outputs=digests.of_folder(root / "built0"), seconds=1.0)
    errors = []

    def work(name: int) -> None:
        try:
            for number in range(5):
                store.put(root, root / f"built{name}", lock)
                assert store.restore(root, lock.key, empty_folder(root, f"out{name}.{number}"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not list(store.verify(root))
    assert len(list((root / paths.STATE / "store").rglob("*.*"))) == 0, "no temporary file is left"


# --- corrupt blobs, and locks that are not valid


def test_a_corrupt_blob_is_not_restored_and_is_removed(root):
    lock = put(root, {"a": "first", "b": "second"})
    corrupt(store.blob(root, lock.outputs["a"]))
    assert store.find(root, lock.key) == lock, "`find` does not read blobs"
    assert store.restore(root, lock.key, empty_folder(root)) is None
    assert not store.blob(root, lock.outputs["a"]).exists()
    assert store.find(root, lock.key) is None


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a\n/../../x", "..", "x\n", "a\\b"])
def test_a_lock_with_a_path_outside_its_folder_is_not_valid(root, name):
    lock = put(root, {"a": "1"})
    text = msgspec.json.encode(msgspec.structs.replace(lock, outputs={name: lock.outputs["a"]}))
    assert locks.decode(text) is None
    action(root, lock).write_bytes(text)
    assert store.restore(root, lock.key, empty_folder(root)) is None
    assert [path.name for path in root.iterdir() if path.name not in ("out", "built", paths.STATE)] == []


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"key": 1}', "[" * 100_000, '{"key_inputs": ' * 50_000, "\udcff", "9" * 5000]
)
def test_text_that_is_not_a_lock_is_ignored(root, text):
    lock = put(root, {"a": "1"})
    action(root, lock).write_bytes(text.encode(errors="surrogateescape"))
    assert store.find(root, lock.key) is None


def test_an_action_that_holds_the_lock_of_another_key_is_ignored(root):
    one, two = put(root, {"a": "1"}, 1), put(root, {"a": "2"}, 2)
    action(root, one).write_bytes(action(root, two).read_bytes())
    assert store.find(root, one.key) is None
    forged = msgspec.json.encode(msgspec.structs.replace(two, key=one.key))
    action(root, one).write_bytes(forged)
    assert store.find(root, one.key) is None, "its key is not that of its key inputs"


def test_a_lock_in_which_one_name_is_a_file_and_a_folder_is_not_restored(root):
    lock = put(root, {"a": "1"})
    digest = lock.outputs["a"]
    for names in (("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")):
        locks.write(action(root, lock), msgspec.structs.replace(lock, outputs=dict.fromkeys(names, digest)))
        assert store.restore(root, lock.key, empty_folder(root)) is None


def test_a_build_with_a_forged_action_runs_its_step(root):
    (root / "data/in").mkdir(parents=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    assert build_text(root).action == "ran"
    lock = locks.read(root / paths.lock(TARGET))
    text = action(root, lock).read_text()
    action(root, lock).write_text(text.replace('"train.jsonl"', '"../train.jsonl"'))
    (root / paths.lock(TARGET)).unlink()
    assert build_text(root).action == "ran"
    assert build_text(root).action == "current"
    assert list(store.verify(root)) == []


# --- verify


def test_verify_removes_corrupt_blobs_and_reports_the_incomplete_actions(root):
    lock = put(root, {"a": "first", "b": "second"})
    assert list(store.verify(root)) == []
    corrupt(store.blob(root, lock.outputs["a"]))
    digest, key = lock.outputs["a"][:12], lock.key[:12]
    assert list(store.verify(root)) == [
        f"blob {digest}: corrupt - removed; it is built or downloaded again when needed",
        f"action {key} (stage): 1 of 2 files are missing - they are downloaded or built again when needed",
    ]
    assert list(store.verify(root)) == [
        f"action {key} (stage): 1 of 2 files are missing - they are downloaded or built again when needed"
    ]
    put(root, {"a": "first", "b": "second"})
    assert list(store.verify(root)) == []


def test_verify_removes_an_action_that_is_not_a_lock(root):
    lock = put(root, {"a": "1"})
    action(root, lock).write_text("torn")
    assert list(store.verify(root)) == [f"action {lock.key[:12]}: not the record of its key - removed"]
    assert not action(root, lock).exists()


def test_verify_and_collection_keep_the_temporary_files_of_a_running_build(root):
    """Removal of a temporary file would fail the build that writes it."""
    lock = put(root, {"a": "1"})
    temporary = [path.with_name(f"{path.name}.123.456") for path in (action(root, lock), *blobs(root, lock))]
    for path in temporary:
        path.write_text("ha")
    assert list(store.verify(root)) == []
    store.gc(root, [], days=0)
    assert all(path.exists() for path in temporary)
    age(root, 1, *temporary)
    store.gc(root, [lock], days=0)
    assert not any(path.exists() for path in temporary), "after a day they belong to a killed build"


def test_a_folder_in_the_store_and_a_blob_removed_meanwhile_are_no_errors(root):
    lock = put(root, {"a": "1"})
    [path] = blobs(root, lock)
    (path.parent / ("0" * 64)).mkdir()
    assert list(store.verify(root)) == []
    assert store._digest(path.with_name("1" * 64)) == "1" * 64


# --- copies


def test_an_edit_of_a_copy_does_not_change_the_original(root):
    (root / "a").write_bytes(b"x" * 100_000)
    store.copy(root / "a", root / "b")
    with (root / "b").open("r+b") as file:
        file.write(b"copy")
    assert (root / "a").read_bytes() == b"x" * 100_000
    with (root / "a").open("r+b") as file:
        file.write(b"original")
    assert (root / "b").read_bytes() == b"copy" + b"x" * 99_996
    assert (root / "a").stat().st_nlink == (root / "b").stat().st_nlink == 1


def test_a_copy_replaces_a_longer_file(root):
    (root / "a").write_text("short")
    (root / "b").write_text("much longer")
    store.copy(root / "a", root / "b")
    assert (root / "b").read_text() == "short"


@pytest.fixture
def cloning(tmp_path: Path) -> Iterator[Path]:
    """Mount a btrfs image, a file system that can clone. Yield its folder."""
    image, folder = tmp_path / "image", tmp_path / "cloning"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    try:
        for command in (["mkfs.btrfs", "-q", image], ["mount", "-o", "loop", image, folder]):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"btrfs cannot be created and mounted: {error}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_clones_share_disk_space_and_do_not_change_each_other(cloning):
    size = 60 << 20
    folder = cloning / "built"
    folder.mkdir()
    (folder / "weights").write_bytes(os.urandom(size))
    key_inputs = KeyInputs(kind="adapter", recipe={}, code="c", inputs={}, tools={})
    lock = Lock(key=key_inputs.key, key_inputs=key_inputs, outputs=digests.of_folder(folder), seconds=1.0)
    before = used_bytes(cloning)
    assert before >= size
    store.put(cloning, folder, lock)
    assert store.restore(cloning, lock.key, empty_folder(cloning)) == lock
    assert used_bytes(cloning) - before < size / 10
    for path, word in ((folder, b"theirs"), (cloning / "out", b"mine")):
        with (path / "weights").open("r+b") as file:
            file.write(word)
    assert list(store.verify(cloning)) == []
    assert (folder / "weights").read_bytes()[:6] == b"theirs"


def used_bytes(folder: Path) -> int:
    """Return the used bytes of a file system, after all writes are flushed."""
    subprocess.run(["sync", "-f", folder], check=True)
    return shutil.disk_usage(folder).used


# --- a shared store beside it


def test_files_are_sent_once_and_only_to_a_shared_store(root, monkeypatch):
    (root / "rows").write_text("rows")
    files = {root / "rows": digests.of_file(root / "rows")}
    lock = put(root, {"a": "1"})
    store.push_files(root, files)
    assert not store.is_shared(root, lock)
    monkeypatch.setenv("PUNIE_BUILD_STORE", (root / "shared").as_uri())
    for _ in range(2):
        store.push_files(root, files)
    [sent] = [path for path in (root / "shared").rglob("*") if path.is_file()]
    assert sent.name == files[root / "rows"]
    assert store.push(root, lock) == 1
    assert store.is_shared(root, lock)


def test_a_corrupt_file_of_the_store_is_not_read(root):
    lock = put(root, {"a": "1"})
    [digest] = lock.outputs.values()
    assert store.read(root, digest) == b"1"
    corrupt(store.blob(root, digest))
    assert store.read(root, digest) is None
    assert not store.blob(root, digest).exists()


def test_a_restore_to_a_full_disk_is_an_error_of_the_disk(root, small_disk, monkeypatch):
    lock = put(root, {"a": "1" * 200_000})
    (small_disk / "out").mkdir()
    with pytest.raises(OSError, match="No space left on device"):
        store.restore(root, lock.key, small_disk / "out")
    monkeypatch.setenv("PUNIE_BUILD_STORE", (root / "shared").as_uri())
    store.push(root, lock)
    assert store.restore(small_disk, lock.key, empty_folder(root)) is None, "its own store is full"
