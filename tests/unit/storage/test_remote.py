from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from punie_build.engine import build
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, locks, paths, store
from punie_build.storage.remote import RemoteStore
from tests.support.checkouts import BUCKET, Step, build_chain, chain, checkout, free_port, warnings
from tests.support.text_tasks import text_task, with_step

# --- over S3


@pytest.mark.slow
def test_a_second_checkout_restores_all_artifacts_and_runs_no_step(bucket, tmp_path, capsys):
    one = checkout(tmp_path / "one", "s3://punie/team", bucket.address)
    two = checkout(tmp_path / "two", "s3://punie/team", bucket.address)
    assert build_chain(one) == ["ran"] * 3
    assert build_chain(two) == ["restored"] * 3
    for task in chain():
        assert (one / paths.lock(task.target)).read_bytes() == (two / paths.lock(task.target)).read_bytes()
    assert build_chain(two) == ["current"] * 3
    assert [name.split("/")[:2] for name in bucket.names()] == [["team", "actions"]] * 3 + [["team", "blobs"]] * 4
    assert warnings(capsys) == []
    assert not list((two / paths.STATE / "store").rglob("*.*")), "no temporary file is left"


@pytest.mark.slow
def test_an_artifact_from_the_shared_store_is_then_in_the_local_store(bucket, tmp_path):
    one = checkout(tmp_path / "one", "s3://punie", bucket.address)
    two = checkout(tmp_path / "two", "s3://punie", bucket.address)
    build_chain(one)
    build_chain(two)
    for name in bucket.names():
        bucket.client.delete_object(Bucket=BUCKET, Key=name)
    shutil.rmtree(two / "data/three")
    assert build_chain(two) == ["current", "current", "restored"]


@pytest.mark.slow
def test_the_files_of_a_committed_lock_are_restored_though_a_newer_build_differs(bucket, tmp_path):
    one = checkout(tmp_path / "one", "s3://punie", bucket.address)
    two = checkout(tmp_path / "two", "s3://punie", bucket.address)
    task = chain()[0]

    def random(work: Work) -> StepResult:
        (work.out / "weights").write_bytes(os.urandom(32))
        return StepResult("built")

    build.build(one, with_step(task, random))
    shutil.copy(one / paths.lock(task.target), two / paths.lock(task.target))
    agreed = (one / "data/one/weights").read_bytes()
    build.build(one, with_step(task, random), afresh=True)
    assert build.build(two, with_step(task, random)).action == "restored"
    assert (two / "data/one/weights").read_bytes() == agreed != (one / "data/one/weights").read_bytes()


@pytest.mark.slow
def test_corrupt_blobs_on_the_server_are_not_used_and_are_replaced(bucket, tmp_path, capsys):
    build_chain(checkout(tmp_path / "one", "s3://punie", bucket.address))
    intact = {name: bucket.read(name) for name in bucket.blobs()}
    for name, content in intact.items():
        bucket.write(name, bytes(byte ^ 1 for byte in content) or b"more")
    assert build_chain(checkout(tmp_path / "two", "s3://punie", bucket.address)) == ["ran"] * 3
    assert {name: bucket.read(name) for name in bucket.blobs()} == intact
    assert build_chain(checkout(tmp_path / "three", "s3://punie", bucket.address)) == ["restored"] * 3
    [line] = warnings(capsys)
    assert line.endswith(" are not those of its name - they count as missing")


def test_a_corrupt_local_blob_is_downloaded_again(bucket, tmp_path):
    root = checkout(tmp_path / "one", "s3://punie", bucket.address)
    build_chain(root)
    for path in (root / paths.STATE / "store/blobs").glob("*/*"):
        path.write_text("corrupt")
    shutil.rmtree(root / "data/two")
    assert build_chain(root) == ["current", "restored", "current"]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"torn", b"[" * 100_000, b'{"key": "../x"}'])
def test_a_corrupt_action_on_the_server_is_ignored(bucket, tmp_path, content):
    build_chain(checkout(tmp_path / "one", "s3://punie", bucket.address))
    for name in bucket.names():
        if name.startswith("actions/"):
            bucket.write(name, content)
    assert build_chain(checkout(tmp_path / "two", "s3://punie", bucket.address)) == ["ran"] * 3


def test_an_action_with_a_path_outside_the_target_is_ignored(bucket, tmp_path):
    build_chain(checkout(tmp_path / "one", "s3://punie", bucket.address))
    for name in [name for name in bucket.names() if name.startswith("actions/")]:
        bucket.write(name, bucket.read(name).replace(b'"train.jsonl"', b'"../../../../train.jsonl"'))
    two = checkout(tmp_path / "deep/er/two", "s3://punie", bucket.address)
    assert build_chain(two) == ["ran"] * 3
    assert not list((tmp_path / "deep").glob("train.jsonl"))
    assert not list((tmp_path / "deep/er").glob("train.jsonl"))


@pytest.mark.slow
def test_many_threads_share_one_connection(bucket, tmp_path, capsys):
    """`doit -n` builds in threads."""
    one = checkout(tmp_path / "one", "s3://punie", bucket.address)
    two = checkout(tmp_path / "two", "s3://punie", bucket.address)
    tasks = [text_task(f"t{n}", inputs=("data/in",), n=n) for n in range(12)]

    def build_all(root: Path) -> set[str]:
        actions: list[str] = []
        threads = [
            threading.Thread(target=lambda task=task: actions.append(build.build(root, with_step(task, Step())).action))
            for task in tasks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(actions) == 12
        return set(actions)

    assert build_all(one) == {"ran"}
    assert build_all(two) == {"restored"}
    assert warnings(capsys) == []


# --- a folder as the store


def test_a_folder_as_the_store_has_only_complete_files(tmp_path, capsys):
    folder = tmp_path / "folder"
    assert build_chain(checkout(tmp_path / "one", f"file://{folder}")) == ["ran"] * 3
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert len(names) == 7
    assert all(len(name.rpartition("/")[2]) == 64 for name in names), "no temporary file is left"
    for name in names:
        if name.startswith("blobs/"):
            assert digests.of_file(folder / name) == name.rpartition("/")[2]
        else:
            assert locks.read(folder / name).key == name.rpartition("/")[2]
    assert build_chain(checkout(tmp_path / "two", f"file://{folder}")) == ["restored"] * 3
    assert warnings(capsys) == []


def test_a_reader_never_sees_part_of_a_file(tmp_path):
    folder = tmp_path / "folder"
    content = b"x" * (4 << 20)
    (tmp_path / "source").write_bytes(content)
    store_ = RemoteStore(f"file://{folder}", {})
    sizes, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            try:
                sizes.add((folder / "blobs/b").stat().st_size)
            except FileNotFoundError:
                sizes.add(-1)

    reader = threading.Thread(target=watch)
    reader.start()
    for _ in range(20):
        assert store_.put("blobs/b", tmp_path / "source")
    stop.set()
    reader.join()
    assert sizes <= {-1, len(content)}


def test_many_threads_may_upload_one_blob(tmp_path, capsys):
    """Equal files are one blob, and two tasks may build them at the same time."""
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    store_ = RemoteStore(f"file://{tmp_path}/folder", {})
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.extend(store_.put("blobs/b", tmp_path / "source") for _ in range(20)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 120
    assert [path.name for path in (tmp_path / "folder/blobs").iterdir()] == ["b"]
    assert warnings(capsys) == []


def test_an_upload_to_a_full_disk_leaves_no_file_behind(tmp_path, small_disk, capsys):
    (tmp_path / "source").write_bytes(bytes(1 << 20))
    assert not RemoteStore(f"file://{small_disk}", {}).put("blobs/b", tmp_path / "source")
    assert not list((small_disk / "blobs").iterdir())
    [line] = warnings(capsys)
    assert "No space left on device" in line


def test_an_upload_that_fails_leaves_no_file_behind(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    assert not RemoteStore(f"file://{tmp_path}/folder", {}).put("blobs/b", tmp_path / "absent")
    assert not list((tmp_path / "folder/blobs").iterdir())
    [line] = warnings(capsys)
    assert "FileNotFoundError" in line


def test_a_blob_that_is_corrupt_here_and_missing_there_is_not_restored(tmp_path):
    root = checkout(tmp_path / "one", f"file://{tmp_path}/folder")
    build_chain(root)
    lock = locks.read(root / paths.lock("data/two"))
    for folder in (root / paths.STATE / "store", tmp_path / "folder"):
        for digest in lock.outputs.values():
            (folder / "blobs" / digest[:2] / digest).unlink()
    for digest in lock.outputs.values():
        store.blob(root, digest).write_text("corrupt")
    (root / "out").mkdir()
    assert store.restore(root, lock.key, root / "out") is None
    assert not store.blob(root, next(iter(lock.outputs.values()))).exists()


# --- push


PUSH = "from punie_build.cli.main import main; main(['store', 'push'])"


@pytest.mark.slow
def test_push_uploads_artifacts_that_were_built_without_the_store(bucket, tmp_path):
    unreachable = f"http://127.0.0.1:{free_port()}"
    root = checkout(tmp_path / "one", "s3://punie/team", unreachable)
    assert build_chain(root) == ["ran"] * 3
    text = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(text.replace(unreachable, bucket.address))
    process = subprocess.run([sys.executable, "-c", PUSH], cwd=root, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == "4 files sent, for 3 artifacts\n"
    assert build_chain(checkout(tmp_path / "two", "s3://punie/team", bucket.address)) == ["restored"] * 3
    process = subprocess.run([sys.executable, "-c", PUSH], cwd=root, capture_output=True, text=True)
    assert process.stdout == "0 files sent, for 3 artifacts\n"


def test_push_uploads_the_action_of_the_lock_if_the_store_has_another_or_none(tmp_path):
    """A checkout without a lock must restore the artifact that the locks name, not the newest."""
    root = checkout(tmp_path / "one", f"file://{tmp_path}/folder")
    build_chain(root)
    shutil.rmtree(tmp_path / "folder")
    shutil.rmtree(root / paths.STATE / "store/actions")
    for task in chain():
        lock = locks.read(root / paths.lock(task.target))
        assert store.push(root, lock) == (2 if task.name == "one" else 1)
    assert build_chain(checkout(tmp_path / "two", f"file://{tmp_path}/folder")) == ["restored"] * 3


def test_push_uploads_no_action_if_a_blob_is_missing(tmp_path):
    root = checkout(tmp_path / "one", f"file://{tmp_path}/folder")
    build_chain(root)
    shutil.rmtree(tmp_path / "folder")
    lock = locks.read(root / paths.lock("data/one"))
    store.blob(root, lock.outputs["train.jsonl"]).unlink()
    assert store.push(root, lock) == 1
    assert not list((tmp_path / "folder").rglob("actions"))
