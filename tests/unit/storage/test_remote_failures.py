from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from punie_build.engine import build
from punie_build.storage import remote, store
from punie_build.storage.remote import RemoteStore
from tests.support.checkouts import BUCKET, Step, build_chain, checkout, free_port, warnings
from tests.support.hostile_store import hostile_store
from tests.support.text_tasks import text_task, with_step

IMMUTABLE, MUTABLE = ["chattr", "-R", "+i"], ["chattr", "-R", "-i"]


@pytest.mark.slow
def test_an_unreachable_store_costs_one_warning_and_a_few_seconds(bucket, tmp_path, capsys):
    address = f"http://127.0.0.1:{free_port()}"
    root = checkout(tmp_path / "one", "s3://punie", address)
    started = time.monotonic()
    assert build_chain(root) == ["ran"] * 3
    (root / "data/in/train.jsonl").write_text("zero\n")
    assert build_chain(root) == ["current"] * 3
    shutil.rmtree(root / "data/two")
    assert build_chain(root) == ["current", "restored", "current"]
    assert time.monotonic() - started < 8
    [line] = warnings(capsys)
    assert line.startswith("   shared store s3://punie: EndpointConnectionError Could not connect")
    assert line.endswith(" - continuing without it; `punie-build store push` uploads the rest later")


@pytest.mark.slow
def test_a_server_that_never_answers_gets_four_requests(bucket, capsys):
    """Without our limits, s3fs would retry for a quarter of an hour."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "config_kwargs": {"read_timeout": 0.2},
        }
        store_ = RemoteStore("s3://punie", options)
        assert not store_.has("blobs/x")
        assert store_.read("actions/x") is None
        assert not store_.put("actions/x", b"x")
        assert connections(silent) == 4
    assert len(warnings(capsys)) == 1


def connections(server: socket.socket) -> int:
    """Count the connections that were opened and not accepted."""
    server.setblocking(False)
    for count in range(100):
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
    return 100


@pytest.mark.slow
def test_many_threads_warn_once_about_an_unreachable_store(bucket, tmp_path, capsys):
    root = checkout(tmp_path / "one", "s3://punie", f"http://127.0.0.1:{free_port()}")
    threads = [threading.Thread(target=lambda n=n: store.find(root, f"{n:064}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warnings(capsys)) == 1


def test_a_missing_bucket_is_one_warning_and_is_not_created(bucket, tmp_path, capsys):
    assert build_chain(checkout(tmp_path / "one", "s3://no-such/team", bucket.address)) == ["ran"] * 3
    [line] = warnings(capsys)
    assert line.startswith("   shared store s3://no-such/team: FileNotFoundError The specified bucket does not exist")
    assert [entry["Name"] for entry in bucket.client.list_buckets()["Buckets"]] == [BUCKET]


def test_a_store_without_write_permission_is_still_read(tmp_path, capsys):
    """CI uploads and people download; not everyone has write permission."""
    folder = tmp_path / "folder"
    build_chain(checkout(tmp_path / "one", f"file://{folder}"))
    # permissions do not stop root
    protect, release = (["chmod", "-R", "a-w"], ["chmod", "-R", "u+w"]) if os.getuid() else (IMMUTABLE, MUTABLE)
    if subprocess.run([*protect, folder], capture_output=True).returncode:
        pytest.skip("needs a file system with immutable folders")
    try:
        two = checkout(tmp_path / "two", f"file://{folder}")
        other = text_task("o", inputs=("data/in",))
        assert build.build(two, with_step(other, Step())).action == "ran"
        assert build_chain(two) == ["restored"] * 3
    finally:
        subprocess.run([*release, folder], check=True)
    [line] = warnings(capsys)
    assert "PermissionError" in line
    assert " - reading from it only; " in line


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("gs://bucket/x", "Please install gcsfs to access Google Storage (install `punie-build[shared]` for s3:// and"),
        (
            "sftp://me:secret@host/x",
            'SFTPFileSystem requires "paramiko" to be installed (install `punie-build[shared]`',
        ),
        ("nosuch://x/y", "ValueError Protocol not known: nosuch - continuing without it"),
    ],
)
def test_a_protocol_whose_package_is_missing_is_one_warning(tmp_path, capsys, url, text):
    assert build_chain(checkout(tmp_path / "one", url)) == ["ran"] * 3
    [line] = warnings(capsys)
    assert text in line
    assert "secret" not in line


def test_without_fsspec_a_warning_names_the_extra_to_install(tmp_path):
    root = checkout(tmp_path / "one", f"file://{tmp_path}/folder")
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from pathlib import Path; from punie_build.storage import store\n"
        "print([store.find(Path.cwd(), n * 64) for n in '012'])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert process.stdout == "[None, None, None]\n"
    [line] = process.stderr.splitlines()
    assert "fsspec" in line
    assert "(install `punie-build[shared]` for s3:// and file://) - continuing without it" in line


def impatient(url: str, tmp_path: Path) -> RemoteStore:
    store_ = RemoteStore(url, {})
    store_.patience, store_.max_record = 0.5, 1 << 20
    store_.spare_bytes = shutil.disk_usage(tmp_path).free - (1 << 20)
    return store_


@pytest.mark.parametrize("behavior", ["silent", "drip", "flood"])
def test_a_hostile_store_costs_some_seconds_once_and_is_named_once(tmp_path, capsys, behavior):
    with hostile_store(behavior) as server:
        store_, started = impatient(server.url, tmp_path), time.monotonic()
        assert store_.read("actions/x") is None
        assert not store_.has("blobs/x")
        assert not store_.get("blobs/x", tmp_path / "x")
        assert not store_.put("blobs/x", b"x")
        assert time.monotonic() - started < 8
        assert server.requests <= 1
    [line] = warnings(capsys)
    assert ("more than 1,048,576 bytes" if behavior == "flood" else "TimeoutError no answer within") in line
    assert " - continuing without it" in line


@pytest.mark.parametrize("behavior", ["drip", "flood"])
@pytest.mark.slow
def test_a_file_that_comes_drop_by_drop_or_never_ends_is_given_up(tmp_path, capsys, behavior):
    with hostile_store(behavior) as server:
        store_ = impatient(server.url, tmp_path)
        assert not store_.get("blobs/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    assert len(warnings(capsys)) == 1
    assert store_.unreachable


@pytest.mark.slow
def test_slow_answers_use_up_the_patience_of_all_requests(tmp_path):
    store_ = impatient(tmp_path.as_uri(), tmp_path)
    store_.patience = 10.0
    assert not store_.has("blobs/x")
    assert store_.waited < 0.5
    store_._request(lambda files: time.sleep(1.2), default=None)
    assert 0.1 < store_.waited < 3
    assert not store_.unreachable


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("behavior", ["silent", "drip", "flood"])
def test_a_hostile_store_costs_a_build_at_most_fifteen_seconds(tmp_path, capsys, behavior):
    with hostile_store(behavior) as server:
        started = time.monotonic()
        assert build_chain(checkout(tmp_path / "one", server.url)) == ["ran"] * 3
        assert time.monotonic() - started < 15
    assert len(warnings(capsys)) == 1


def test_a_store_of_other_bytes_than_its_names_say_is_read_no_more_and_still_written(tmp_path, capsys):
    store_ = RemoteStore(tmp_path.as_uri(), {})
    for number in range(remote.MAX_CORRUPT):
        assert store_.put(f"blobs/{number}", b"other bytes")
        assert store_.has(f"blobs/{number}")
        store_.reject(f"blobs/{number}")
    assert store_.put("blobs/x", b"x")
    assert not store_.has("blobs/x")
    assert store_.read("blobs/x") is None
    assert not store_.get("blobs/x", tmp_path / "y")
    first, last = warnings(capsys)
    assert first.endswith("the bytes of 0 are not those of its name - they count as missing")
    assert last.endswith("the bytes of 7 are not those of its name - nothing is read from it any more")


def test_a_folder_in_the_place_of_a_record_or_of_a_file_counts_as_missing(tmp_path, capsys):
    store_ = RemoteStore(tmp_path.as_uri(), {})
    (tmp_path / "blobs/x/deep").mkdir(parents=True)
    assert store_.read("blobs/x") is None
    assert not store_.get("blobs/x", tmp_path / "y")
    assert not (tmp_path / "y").exists()
    assert not store_.unreachable


def test_a_store_that_sends_much_of_other_bytes_is_read_no_more(tmp_path, capsys):
    store_ = RemoteStore(tmp_path.as_uri(), {})
    store_.reject("blobs/0", remote.MAX_CORRUPT_BYTES - 1)
    assert store_.is_read
    store_.reject("blobs/1", 1)
    assert not store_.is_read
    assert warnings(capsys)[-1].endswith("nothing is read from it any more")


def test_a_large_download_is_announced_with_the_size_that_the_store_says(tmp_path, capsys):
    store_ = RemoteStore(tmp_path.as_uri(), {})
    store_.spare_bytes, store_.announced_bytes = 0, 10_000_000
    assert store_.put("blobs/x", bytes(20_000_000))
    assert store_.get("blobs/x", tmp_path / "y")
    [line] = warnings(capsys)
    assert line.endswith("downloading 0.02 GB, as it says")


def test_a_file_that_is_larger_than_the_disk_is_not_fetched_and_no_failure(tmp_path, capsys):
    store_ = RemoteStore(tmp_path.as_uri(), {})
    assert store_.put("blobs/x", b"x" * 100)
    store_.spare_bytes = shutil.disk_usage(tmp_path).free + (1 << 30)
    assert not store_.get("blobs/x", tmp_path / "y")
    store_.spare_bytes = 0
    assert store_.get("blobs/x", tmp_path / "y")
    assert not store_.unreachable
    assert warnings(capsys) == []


def test_a_flood_of_unknown_size_ends_when_the_patience_does(tmp_path, capsys):
    with hostile_store("flood") as server:
        store_ = impatient(server.url, tmp_path)
        store_.spare_bytes, started = 0, time.monotonic()
        assert not store_.get("blobs/x", tmp_path / "x")
        assert time.monotonic() - started < 8
    assert list(tmp_path.iterdir()) == []
    [line] = warnings(capsys)
    assert "TimeoutError no answer within" in line


def test_a_disk_that_fills_during_a_download_is_no_failure_of_the_store(tmp_path, small_disk, capsys):
    store_ = RemoteStore((tmp_path / "shared").as_uri(), {})
    assert store_.put("blobs/x", bytes(1 << 20))
    store_.spare_bytes = -(1 << 30)  # it looked free
    assert not store_.get("blobs/x", small_disk / "x")
    assert list(small_disk.iterdir()) == []
    assert not store_.unreachable
    assert warnings(capsys) == []
