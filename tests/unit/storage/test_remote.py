from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from punie_build.engine import build, state
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.errors import RecipeError
from punie_build.storage import digests, locks, paths, settings, store
from punie_build.storage import remote as shared
from tests.support.text_tasks import text_task, with_step

BUCKET = "punie"
WORDS = ("one", "two", "three")


# --- a server, projects, and a chain of three steps


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3-compatible server on loopback; its address."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


class Bucket:
    """What is in the bucket, seen past fsspec."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = boto3.client("s3", endpoint_url=address)

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(entry["Key"] for entry in found)

    def blobs(self) -> list[str]:
        return [name for name in self.names() if "blobs/" in name]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[Bucket]:
    """An empty bucket, and what a client must know in the environment."""
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    found = Bucket(server)
    found.client.create_bucket(Bucket=BUCKET)
    yield found
    for name in found.names():
        found.client.delete_object(Bucket=BUCKET, Key=name)
    found.client.delete_bucket(Bucket=BUCKET)
    found.client.close()


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch) -> Iterator[None]:
    """Each test meets its store for the first time, and finds none in the environment."""
    monkeypatch.delenv("PUNIE_BUILD_STORE", raising=False)
    yield
    shared._remotes.clear()


def project(place: Path, url: str, address: str | None = None) -> Path:
    """A checkout that shares a store."""
    (place / "data/in").mkdir(parents=True)
    (place / "data/in/train.jsonl").write_text("zero\n")
    options = f'store_options = {{ endpoint_url = "{address}" }}\n' if address else ""
    (place / "pyproject.toml").write_text(f'[tool.punie-build]\nstore = "{url}"\n{options}')
    return place


def chain() -> list[Task]:
    """Three tasks, each made from the one before."""
    folders = ["data/in", *(f"data/{word}" for word in WORDS)]
    return [text_task(word, inputs=(folder,), word=word) for word, folder in zip(WORDS, folders, strict=False)]


class Step:
    """Adds its word to what it reads."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, work: Work) -> StepResult:
        self.ran.append(work.task.name)
        text = (work.root / work.task.inputs[0] / "train.jsonl").read_text()
        (work.out / "train.jsonl").write_text(f"{text}{work.task.name}\n")
        (work.out / "empty").touch()
        return StepResult("made", {"rows": text.count("\n") + 1})


def built(root: Path) -> list[str]:
    """How each task of the chain was built. Whatever way, it is current then and says what it must."""
    step = Step()
    how = [build.build(root, with_step(task, step)).action for task in chain()]
    assert all(state.state(root, task) == "current" for task in chain())
    assert (root / "data/three/train.jsonl").read_text() == "zero\none\ntwo\nthree\n"
    return how


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def warnings(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "shared store" in line]


# --- over S3


@pytest.mark.slow
def test_a_second_checkout_restores_everything_and_runs_nothing(bucket, tmp_path, capsys):
    one = project(tmp_path / "one", "s3://punie/team", bucket.address)
    two = project(tmp_path / "two", "s3://punie/team", bucket.address)
    assert built(one) == ["ran"] * 3
    assert built(two) == ["restored"] * 3
    for task in chain():
        assert (one / paths.lock(task.target)).read_bytes() == (two / paths.lock(task.target)).read_bytes()
    assert built(two) == ["current"] * 3
    assert [name.split("/")[:2] for name in bucket.names()] == [["team", "actions"]] * 3 + [["team", "blobs"]] * 4
    assert warnings(capsys) == []
    assert not list((two / paths.STATE / "store").rglob("*.*")), "no half-written file is left"


def test_what_was_restored_from_far_is_restored_from_here_the_next_time(bucket, tmp_path):
    one = project(tmp_path / "one", "s3://punie", bucket.address)
    two = project(tmp_path / "two", "s3://punie", bucket.address)
    built(one)
    built(two)
    for name in bucket.names():
        bucket.client.delete_object(Bucket=BUCKET, Key=name)
    shutil.rmtree(two / "data/three")
    assert built(two) == ["current", "current", "restored"]


@pytest.mark.slow
def test_a_committed_lock_finds_its_files_far_away_though_a_newer_build_gave_others(bucket, tmp_path):
    one = project(tmp_path / "one", "s3://punie", bucket.address)
    two = project(tmp_path / "two", "s3://punie", bucket.address)
    task = chain()[0]

    def random(work: Work) -> StepResult:
        (work.out / "weights").write_bytes(os.urandom(32))
        return StepResult("made")

    build.build(one, with_step(task, random))
    shutil.copy(one / paths.lock(task.target), two / paths.lock(task.target))
    agreed = (one / "data/one/weights").read_bytes()
    build.build(one, with_step(task, random), afresh=True)
    assert build.build(two, with_step(task, random)).action == "restored"
    assert (two / "data/one/weights").read_bytes() == agreed != (one / "data/one/weights").read_bytes()


@pytest.mark.slow
def test_bytes_that_were_changed_on_the_server_are_not_believed_and_are_replaced(bucket, tmp_path, capsys):
    built(project(tmp_path / "one", "s3://punie", bucket.address))
    right = {name: bucket.read(name) for name in bucket.blobs()}
    for name, content in right.items():
        bucket.write(name, bytes(byte ^ 1 for byte in content) or b"more")
    assert built(project(tmp_path / "two", "s3://punie", bucket.address)) == ["ran"] * 3
    assert {name: bucket.read(name) for name in bucket.blobs()} == right
    assert built(project(tmp_path / "three", "s3://punie", bucket.address)) == ["restored"] * 3
    assert warnings(capsys) == []


def test_a_blob_that_rotted_here_is_fetched_again(bucket, tmp_path):
    root = project(tmp_path / "one", "s3://punie", bucket.address)
    built(root)
    for path in (root / paths.STATE / "store/blobs").glob("*/*"):
        path.write_text("rot")
    shutil.rmtree(root / "data/two")
    assert built(root) == ["current", "restored", "current"]


@pytest.mark.slow
@pytest.mark.parametrize("poison", [b"", b"torn", b"[" * 100_000, b'{"key": "../x"}'])
def test_a_record_that_was_changed_on_the_server_is_none(bucket, tmp_path, poison):
    built(project(tmp_path / "one", "s3://punie", bucket.address))
    for name in bucket.names():
        if name.startswith("actions/"):
            bucket.write(name, poison)
    assert built(project(tmp_path / "two", "s3://punie", bucket.address)) == ["ran"] * 3


def test_a_record_that_leads_out_of_the_target_is_none(bucket, tmp_path):
    built(project(tmp_path / "one", "s3://punie", bucket.address))
    for name in [name for name in bucket.names() if name.startswith("actions/")]:
        bucket.write(name, bucket.read(name).replace(b'"train.jsonl"', b'"../../../../train.jsonl"'))
    two = project(tmp_path / "deep/er/two", "s3://punie", bucket.address)
    assert built(two) == ["ran"] * 3
    assert not list((tmp_path / "deep").glob("train.jsonl"))
    assert not list((tmp_path / "deep/er").glob("train.jsonl"))


@pytest.mark.slow
def test_many_threads_share_one_store(bucket, tmp_path, capsys):
    """`doit -n` builds in threads."""
    one = project(tmp_path / "one", "s3://punie", bucket.address)
    two = project(tmp_path / "two", "s3://punie", bucket.address)
    tasks = [text_task(f"t{n}", inputs=("data/in",), n=n) for n in range(12)]

    def all_of(root: Path) -> set[str]:
        how: list[str] = []
        threads = [
            threading.Thread(target=lambda task=task: how.append(build.build(root, with_step(task, Step())).action))
            for task in tasks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(how) == 12
        return set(how)

    assert all_of(one) == {"ran"}
    assert all_of(two) == {"restored"}
    assert warnings(capsys) == []


# --- what cannot be reached


def test_a_store_at_which_nobody_listens_costs_one_line_and_a_few_seconds(bucket, tmp_path, capsys):
    address = f"http://127.0.0.1:{free_port()}"
    root = project(tmp_path / "one", "s3://punie", address)
    started = time.monotonic()
    assert built(root) == ["ran"] * 3
    (root / "data/in/train.jsonl").write_text("zero\n")
    assert built(root) == ["current"] * 3
    shutil.rmtree(root / "data/two")
    assert built(root) == ["current", "restored", "current"]
    assert time.monotonic() - started < 8
    [line] = warnings(capsys)
    assert line.startswith("   shared store s3://punie: EndpointConnectionError Could not connect")
    assert line.endswith(" - going on without it; `punie-build store push` sends what was made")


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(bucket, capsys):
    """Each question is asked four times, not for a quarter of an hour."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "config_kwargs": {"read_timeout": 0.2},
        }
        remote = shared.Remote("s3://punie", options)
        assert not remote.has("blobs/x")
        assert remote.read("actions/x") is None
        assert not remote.put("actions/x", b"x")
        assert waiting(silent) == 4
    assert len(warnings(capsys)) == 1


def waiting(server: socket.socket) -> int:
    """How many have called, of whom none was answered."""
    server.setblocking(False)
    for count in range(100):
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
    return 100


def test_many_threads_that_lose_a_store_say_so_once(bucket, tmp_path, capsys):
    root = project(tmp_path / "one", "s3://punie", f"http://127.0.0.1:{free_port()}")
    threads = [threading.Thread(target=lambda n=n: store.find(root, f"{n:064}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warnings(capsys)) == 1


def test_a_bucket_that_does_not_exist_is_told_once_and_not_made(bucket, tmp_path, capsys):
    assert built(project(tmp_path / "one", "s3://no-such/team", bucket.address)) == ["ran"] * 3
    [line] = warnings(capsys)
    assert line.startswith("   shared store s3://no-such/team: FileNotFoundError The specified bucket does not exist")
    assert [entry["Name"] for entry in bucket.client.list_buckets()["Buckets"]] == [BUCKET]


def test_a_store_that_may_only_be_read_is_read_on(tmp_path, capsys):
    """What CI makes, people fetch; not everybody may write."""
    shelf = tmp_path / "shelf"
    built(project(tmp_path / "one", f"file://{shelf}"))
    probe = subprocess.run(["chattr", "-R", "+i", shelf], capture_output=True)
    if probe.returncode:
        pytest.skip("needs a file system on which folders can be made immutable, and the right to")
    try:
        two = project(tmp_path / "two", f"file://{shelf}")
        other = text_task("o", inputs=("data/in",))
        assert build.build(two, with_step(other, Step())).action == "ran"
        assert built(two) == ["restored"] * 3
    finally:
        subprocess.run(["chattr", "-R", "-i", shelf], check=True)
    [line] = warnings(capsys)
    assert "PermissionError" in line
    assert " - reading from it only; " in line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://bucket/x", "Please install gcsfs to access Google Storage (`punie-build[shared]` brings what s3:// and"),
        ("sftp://me:secret@host/x", 'SFTPFileSystem requires "paramiko" to be installed (`punie-build[shared]`'),
        ("nosuch://x/y", "ValueError Protocol not known: nosuch - going on without it"),
    ],
)
def test_a_kind_of_store_whose_package_is_missing_is_named_and_the_build_goes_on(tmp_path, capsys, url, said):
    assert built(project(tmp_path / "one", url)) == ["ran"] * 3
    [line] = warnings(capsys)
    assert said in line
    assert "secret" not in line


def test_without_the_extra_a_build_says_what_to_install_and_goes_on(tmp_path):
    root = project(tmp_path / "one", f"file://{tmp_path}/shelf")
    code = (
        "import sys; sys.modules['fsspec'] = None; from pathlib import Path; from punie_build.storage import store\n"
        "print([store.find(Path.cwd(), n * 64) for n in '012'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[None, None, None]\n"
    [line] = done.stderr.splitlines()
    assert "fsspec" in line
    assert "(`punie-build[shared]` brings what s3:// and file:// need) - going on without it" in line


# --- over a file system


def test_a_folder_may_be_the_store_and_holds_only_whole_files(tmp_path, capsys):
    shelf = tmp_path / "shelf"
    assert built(project(tmp_path / "one", f"file://{shelf}")) == ["ran"] * 3
    names = sorted(path.relative_to(shelf).as_posix() for path in shelf.rglob("*") if path.is_file())
    assert len(names) == 7
    assert all(len(name.rpartition("/")[2]) == 64 for name in names), "no name of a file that was being written"
    for name in names:
        if name.startswith("blobs/"):
            assert digests.of_file(shelf / name) == name.rpartition("/")[2]
        else:
            assert locks.read(shelf / name).key == name.rpartition("/")[2]
    assert built(project(tmp_path / "two", f"file://{shelf}")) == ["restored"] * 3
    assert warnings(capsys) == []


def test_a_reader_of_a_folder_never_sees_part_of_a_file(tmp_path):
    shelf = tmp_path / "shelf"
    content = b"x" * (4 << 20)
    (tmp_path / "source").write_bytes(content)
    remote = shared.Remote(f"file://{shelf}", {})
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                seen.add((shelf / "blobs/b").stat().st_size)
            except FileNotFoundError:
                seen.add(-1)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        assert remote.put("blobs/b", tmp_path / "source")
    stop.set()
    reader.join()
    assert seen <= {-1, len(content)}


def test_many_writers_of_one_file_do_not_get_into_each_others_way(tmp_path, capsys):
    """Equal files are one blob, and two tasks may make them at the same time."""
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    remote = shared.Remote(f"file://{tmp_path}/shelf", {})
    put: list[bool] = []
    threads = [
        threading.Thread(target=lambda: put.extend(remote.put("blobs/b", tmp_path / "source") for _ in range(20)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert put == [True] * 120
    assert [path.name for path in (tmp_path / "shelf/blobs").iterdir()] == ["b"]
    assert warnings(capsys) == []


def test_an_upload_for_which_there_is_no_room_leaves_nothing_behind(tmp_path, capsys):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", shelf], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        (tmp_path / "source").write_bytes(bytes(1 << 20))
        assert not shared.Remote(f"file://{shelf}", {}).put("blobs/b", tmp_path / "source")
        assert not list((shelf / "blobs").iterdir())
    finally:
        subprocess.run(["umount", "-l", shelf], check=True)
    [line] = warnings(capsys)
    assert "No space left on device" in line


# --- push


PUSH = "from punie_build.cli.main import main; main(['store', 'push'])"


@pytest.mark.slow
def test_push_sends_what_was_made_while_the_store_was_away(bucket, tmp_path):
    away = f"http://127.0.0.1:{free_port()}"
    root = project(tmp_path / "one", "s3://punie/team", away)
    assert built(root) == ["ran"] * 3
    text = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(text.replace(away, bucket.address))
    done = subprocess.run([sys.executable, "-c", PUSH], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 files sent, for 3 artifacts\n"
    assert built(project(tmp_path / "two", "s3://punie/team", bucket.address)) == ["restored"] * 3
    done = subprocess.run([sys.executable, "-c", PUSH], cwd=root, capture_output=True, text=True)
    assert done.stdout == "0 files sent, for 3 artifacts\n"


def test_push_sends_the_record_of_the_lock_also_where_the_store_has_another_or_none(tmp_path):
    """Whoever has no lock yet must find what the locks name, not what was tried last."""
    root = project(tmp_path / "one", f"file://{tmp_path}/shelf")
    built(root)
    shutil.rmtree(tmp_path / "shelf")
    shutil.rmtree(root / paths.STATE / "store/actions")
    for task in chain():
        lock = locks.read(root / paths.lock(task.target))
        assert store.push(root, lock) == (2 if task.name == "one" else 1)
    assert built(project(tmp_path / "two", f"file://{tmp_path}/shelf")) == ["restored"] * 3


def test_push_does_not_record_what_it_could_not_send_whole(tmp_path):
    root = project(tmp_path / "one", f"file://{tmp_path}/shelf")
    built(root)
    shutil.rmtree(tmp_path / "shelf")
    lock = locks.read(root / paths.lock("data/one"))
    store.blob(root, lock.outputs["train.jsonl"]).unlink()
    assert store.push(root, lock) == 1
    assert not list((tmp_path / "shelf").rglob("actions"))


# --- settings


def test_without_settings_there_is_no_shared_store(tmp_path):
    assert shared.of(tmp_path) is None
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert shared.of(tmp_path / "project") is None


def test_the_environment_goes_before_the_file_and_empty_means_none(tmp_path, monkeypatch):
    root = project(tmp_path / "one", f"file://{tmp_path}/file")
    assert shared.of(root).url == f"file://{tmp_path}/file"
    monkeypatch.setenv("PUNIE_BUILD_STORE", f"file://{tmp_path}/environment")
    assert shared.of(root).url == f"file://{tmp_path}/environment"
    assert built(root) == ["ran"] * 3
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "environment/blobs").exists()
    monkeypatch.setenv("PUNIE_BUILD_STORE", "")
    assert shared.of(root) is None


def test_two_projects_with_other_options_do_not_share_a_connection(tmp_path):
    one = project(tmp_path / "one", "s3://punie", "http://127.0.0.1:1")
    two = project(tmp_path / "two", "s3://punie", "http://127.0.0.1:2")
    assert shared.of(one) is shared.of(one)
    assert shared.of(one) is not shared.of(two)


def test_what_the_options_say_goes_before_our_patience(tmp_path):
    ours = shared.PATIENCE["s3"]["config_kwargs"]
    given = shared._patient("s3", {"anon": True, "config_kwargs": {"read_timeout": 900, "s3": {"x": 1}}})
    assert given == {"anon": True, "config_kwargs": {**ours, "read_timeout": 900, "s3": {"x": 1}}}
    assert shared._patient("file", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[tool.punie-build]\nstroe = "s3://x/y"', ["tool.punie-build.stroe: unknown key - did you mean 'store'?"]),
        (
            "[tool.punie-build]\nstore = 3\nstore_option = {}",
            [
                "tool.punie-build.store_option: unknown key - did you mean 'store_options'?",
                "tool.punie-build.store: expected 'str | null', got 'int'",
            ],
        ),
        (
            '[tool.punie-build]\nstore = "bucket"',
            ["tool.punie-build.store: 'bucket' is no URL - such as s3://bucket/folder or file:///folder"],
        ),
        ("[tool]\npunie-build = 3", ["tool.punie-build: expected 'object', got 'int'"]),
        ("[tool.punie-build\n", None),
    ],
)
def test_mistakes_in_the_settings_are_told_all_at_once(tmp_path, text, told):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        settings.of(tmp_path)
    if told is None:
        assert str(caught.value).startswith("pyproject.toml: not TOML: ")
    else:
        assert sorted(caught.value.problems) == sorted(f"pyproject.toml: {line}" for line in told)


def test_a_mistake_in_the_environment_names_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PUNIE_BUILD_STORE", "bucket")
    with pytest.raises(RecipeError, match=r"^PUNIE_BUILD_STORE: 'bucket' is no URL - such as"):
        shared.of(tmp_path)


def test_a_step_does_not_run_under_settings_that_are_wrong(tmp_path):
    root = project(tmp_path / "one", "bucket")
    step = Step()
    with pytest.raises(RecipeError, match="is no URL"):
        build.build(root, with_step(chain()[0], step))
    assert step.ran == []
