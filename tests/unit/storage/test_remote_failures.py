from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from punie_build.engine import build
from punie_build.storage import store
from punie_build.storage.remote import RemoteStore
from tests.support.checkouts import BUCKET, Step, build_chain, checkout, free_port, warnings
from tests.support.text_tasks import text_task, with_step

IMMUTABLE, MUTABLE = ["chattr", "-R", "+i"], ["chattr", "-R", "-i"]


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
