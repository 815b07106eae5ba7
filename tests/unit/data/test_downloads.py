from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from punie_build.data.command_output import run_command
from punie_build.data.downloads import FOLDER, download_http
from punie_build.data.example import parse
from punie_build.data.hub_files import select_files
from punie_build.data.readers.records import read_records
from punie_build.data.sources import Command, Http, Hub, Local, code_pair_to_chat
from punie_build.errors import DataError
from punie_build.testing.fake_hub import COMMIT, FakeHub
from punie_build.testing.loopback_server import POLL_S

CONTENT = b'{"a": 1}\n' * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Web:
    """An HTTP server of a few pages: path -> bytes, or (status, headers, bytes)."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.requests: list[str] = []
        self.encodings: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append(self.path)
                web.encodings.append(self.headers["Accept-Encoding"])
                page = web.pages.get(self.path.partition("?")[0], (404, {}, b""))
                status, headers, content = page if isinstance(page, tuple) else (200, {}, page)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(ConnectionError):  # the client has closed the connection
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Keep stderr empty."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(POLL_S,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


def downloaded(root: Path) -> list[str]:
    """Return the names in the folder of downloads."""
    return sorted(path.name for path in (root / ".punie" / "downloads").iterdir())


def test_a_file_is_downloaded_once_and_verified_by_its_digest(web, tmp_path):
    web.pages = {"/a.jsonl": (302, {"Location": "/b?key=1"}, b""), "/b": CONTENT}
    path = download_http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")
    assert path == tmp_path / ".punie" / "downloads" / f"{SHA}.jsonl"
    assert path.read_bytes() == CONTENT
    assert download_http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl") == path
    assert web.requests == ["/a.jsonl", "/b?key=1"]
    path.write_bytes(b"overwritten")
    assert download_http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl").read_bytes() == CONTENT
    assert downloaded(tmp_path) == [f"{SHA}.jsonl"]


def test_the_body_is_stored_without_decoding(web, tmp_path):
    packed = gzip.compress(CONTENT)
    web.pages = {"/a.jsonl.gz": (200, {"Content-Encoding": "gzip"}, packed)}  # as some servers declare for any .gz
    path = download_http(tmp_path, f"{web.url}/a.jsonl.gz", hashlib.sha256(packed).hexdigest(), "jsonl.gz")
    assert path.read_bytes() == packed
    assert web.encodings == ["identity"]
    assert sum(1 for _ in read_records(path)) == 1000


def test_an_existing_file_needs_no_network_and_a_missing_one_is_an_error(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    path = download_http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")
    web.close()
    assert download_http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl") == path
    with pytest.raises(
        DataError, match=rf"{web.url}/b\.jsonl: cannot be downloaded .* save the file as .*{'0' * 64}\.jsonl by"
    ):
        download_http(tmp_path, f"{web.url}/b.jsonl", "0" * 64, "jsonl")
    (tmp_path / ".punie" / "downloads" / f"{hashlib.sha256(b'x').hexdigest()}.jsonl").write_bytes(b"x")
    assert download_http(tmp_path, f"{web.url}/x.jsonl", hashlib.sha256(b"x").hexdigest(), "jsonl").read_bytes() == b"x"


def test_a_file_with_another_digest_is_an_error(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    with pytest.raises(DataError, match=rf"/a\.jsonl: its sha256 is {SHA}, the recipe says {'f' * 64} - "):
        download_http(tmp_path, f"{web.url}/a.jsonl?key=secret", "f" * 64, "jsonl")
    assert downloaded(tmp_path) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ((404, {}, b""), "the server answers 404"),
        ((500, {}, b""), "the server answers 500"),
        ((200, {"Content-Length": "99999"}, b"cut short"), "cannot be downloaded"),
        ((302, {"Location": "ftp://127.0.0.1/a"}, b""), "cannot be downloaded"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "cannot be downloaded"),
        ((302, {"Location": "/a.jsonl"}, b""), "cannot be downloaded"),
        ((200, {}, bytes(2**20 + 1)), "larger than 1 MiB"),
        (
            (200, {"Transfer-Encoding": "chunked"}, b"110000\r\n" + bytes(0x110000) + b"\r\n0\r\n\r\n"),
            "larger than 1 MiB",
        ),
        ((200, {"Content-Length": str(2**40)}, b""), "larger than 1 MiB"),
    ],
)
def test_a_failed_download_is_an_error_and_leaves_no_file(web, tmp_path, page, reason):
    web.pages = {"/a.jsonl": page}
    if "chunked" in str(page[1]):
        page[1]["Content-Length"] = "0"
    with pytest.raises(DataError) as caught:
        download_http(tmp_path, f"{web.url}/a.jsonl?key=secret", "0" * 64, "jsonl", max_mb=1)
    assert str(caught.value).startswith(f"{web.url}/a.jsonl: ")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    assert downloaded(tmp_path) == []


HUB = """
import sys
from ast import literal_eval
from pathlib import Path
from punie_build.data.hub_files import download_dataset
from punie_build.errors import DataError
try:
    print([(split, str(path)) for split, path in download_dataset(Path(sys.argv[1]), **literal_eval(sys.argv[2]))])
except DataError as error:
    print(f"DataError {error}")
"""


@pytest.fixture
def download(tmp_path):
    """Download a dataset as a build does; return its files, or its error."""

    def run(hub: FakeHub, env: dict[str, str] | None = None, **options: Any) -> Any:
        process = subprocess.run(
            [sys.executable, "-c", HUB, str(tmp_path), repr({"repo": "me/rows", "revision": COMMIT, **options})],
            capture_output=True,
            text=True,
            timeout=100,
            env={
                **os.environ,
                "HF_ENDPOINT": hub.url,
                "HF_HOME": str(tmp_path / "home"),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_XET": "1",
                **(env or {}),
            },
        )
        out = process.stdout.strip()
        assert out, process.stderr
        return out if out.startswith("DataError") else [(split, Path(path)) for split, path in ast.literal_eval(out)]

    return run


@pytest.fixture
def rows(tmp_path) -> Path:
    """Write a repository of a dataset: two configs, shards, splits, and other files."""
    folder = tmp_path / "rows"
    for name, content in {
        "README.md": b"# Rows",
        "dataset_infos.json": b"{}",
        "python/train-00000-of-00002.jsonl": b'{"n": 0}\n' * 10,
        "python/train-00001-of-00002.jsonl.gz": gzip.compress(b'{"n": 1}\n' * 10),
        "python/validation-00000-of-00001.jsonl": b'{"n": 2}\n' * 10,
        "go/train-00000-of-00001.jsonl": b'{"n": 3}\n' * 10,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.slow
def test_a_hub_dataset_is_downloaded_once_and_keeps_its_splits(rows, download):
    with FakeHub(datasets={"me/rows": rows}, page_size=2) as hub:
        paths = download(hub, config="python")
        assert [(split, path.name) for split, path in paths] == [
            ("train", "train-00000-of-00002.jsonl"),
            ("train", "train-00001-of-00002.jsonl.gz"),
            ("valid", "validation-00000-of-00001.jsonl"),
        ]
        assert sum(1 for _, path in paths for _ in read_records(path)) == 30
        assert not [path for path in hub.requests if "/go/" in path]
        before = len(hub.requests)
        assert download(hub, config="python") == paths
        assert len(hub.requests) == before
        assert [(split, path.parent.name) for split, path in download(hub, split="train", config="go")] == [
            (None, "go")
        ]
    assert download(hub, config="python") == paths  # the server is closed
    assert download(hub, {"HF_HUB_OFFLINE": "1"}, files=["python/train-*"]) == [(None, path) for _, path in paths[:2]]
    error = download(hub, {"HF_HUB_OFFLINE": "1"}, revision="f" * 40)
    assert error.startswith(f"DataError me/rows@{'f' * 40}: cannot be downloaded")
    assert "HF_HUB_OFFLINE is set: unset it" in error


@pytest.mark.slow
def test_a_file_or_repository_missing_on_the_hub_is_an_error(rows, download):
    with FakeHub(datasets={"me/rows": rows}) as hub:
        error = download(hub, files=["nothing/*.parquet"])
        assert (
            "no such data file - name files with `files`; it has: dataset_infos.json, go/train-00000-of-00001.j"
            in error
        )
        for wrong in ({"repo": "me/other"}, {"revision": "f" * 40}):
            assert "check the name, the revision and the network" in download(hub, **wrong)


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["", ".gz"])
def test_a_limit_streams_only_the_first_lines_of_a_large_file(rows, download, tmp_path, pack):
    lines = [json.dumps({"n": number, "text": os.urandom(500).hex()}).encode() for number in range(24_000)]
    content = b"\n".join(lines) + b"\n"
    (rows / f"train.jsonl{pack}").write_bytes(gzip.compress(content, 1) if pack else content)
    size = (rows / f"train.jsonl{pack}").stat().st_size
    assert size > 12 * 2**20
    with FakeHub(datasets={"me/rows": rows}) as hub:
        [(split, path)] = download(hub, files=["train.*"], limit=100)
        assert split is None
        assert path.name == "train.jsonl"
        assert [line for _, line in read_records(path)] == lines[:100]
        assert hub.bytes_sent < size * 0.7  # megabytes are in flight on a loopback when the connection is closed
        if pack:
            return
        before = len(hub.requests)
        assert download(hub, files=["train.*"], limit=100) == [(None, path)]
        assert len(hub.requests) == before
    assert download(hub, {"HF_HUB_OFFLINE": "1"}, files=["train.*"], limit=100) == [(None, path)]
    path.write_bytes(path.read_bytes()[:-9])  # damaged: not used
    error = download(hub, {"HF_HUB_OFFLINE": "1"}, files=["train.*"], limit=100)
    assert f"train.jsonl{pack} is not cached, and HF_HUB_OFFLINE is set - unset HF_HUB_OFFLINE" in error


@pytest.mark.slow
def test_a_limit_counts_each_split_across_files(rows, download):
    with FakeHub(datasets={"me/rows": rows}) as hub:
        paths = download(hub, config="python", limit=15)
        counts = [(split, path.name, sum(1 for _ in read_records(path))) for split, path in paths]
        assert counts == [
            ("train", "train.jsonl", 10),
            ("train", "train.jsonl", 5),
            ("valid", "validation.jsonl", 10),
        ]
        assert [split for split, _ in download(hub, config="python", limit=10)] == ["train", "valid"]


NAMES = [
    "README.md",
    "data/train_sft-00000-of-00003-0a1b2c3d4e5f6a7b.parquet",
    "data/test_gen-00000-of-00001.parquet",
    "en/validation/0000.parquet",
    "de-train.jsonl",
    "default/train/0000.parquet",
]


@pytest.mark.parametrize(
    ("files", "split", "config", "paths"),
    [
        ((), None, None, [2, 1, 4, 5, 3]),
        (("data/*",), None, None, [2, 1]),
        (("*.parquet",), None, None, [2, 1, 5, 3]),
        (("de-train.jsonl", "README.md"), None, None, [4]),
        ((), "train_sft", None, [1]),
        ((), "train", None, [4, 5]),
        ((), "valid", "en", [3]),
        ((), "train", "de", [4]),
        ((), None, "default", [5]),
        ((), "test_gen", None, [2]),
        ((), "test", None, []),
    ],
)
def test_files_are_selected_by_the_words_in_their_names(files, split, config, paths):
    assert select_files(NAMES, files, split, config) == [NAMES[index] for index in paths]


def script(root: Path, code: str) -> tuple[str, ...]:
    (root / "make.py").write_text(code)
    return ("python", "make.py")


def test_the_stdout_of_a_program_is_rows(tmp_path):
    argv = script(tmp_path, "import os, sys; print(os.getcwd()); print(sys.argv[1:]); print('note', file=sys.stderr)")
    path = run_command(tmp_path, (*argv, "$HOME", "a b"), tmp_path / ".punie" / "logs" / "d")
    assert path.read_text().splitlines() == [str(tmp_path.resolve()), "['$HOME', 'a b']"]
    assert path.with_name("stderr.log").read_text() == "note\n"
    assert run_command(tmp_path, (*argv, "second"), path.parent) == path
    assert len(path.read_text().splitlines()) == 2


def test_a_failed_program_is_an_error_with_the_end_of_its_stderr(tmp_path):
    argv = script(tmp_path, "import sys; print('row'); print('out of rows', file=sys.stderr); sys.exit(3)")
    with pytest.raises(DataError, match=r"(?s)python make\.py: exit code 3 - .*stderr\.log:\n    out of rows"):
        run_command(tmp_path, argv, tmp_path / "out")
    for program in ("no-such-program-here", "./make.sh"):
        with pytest.raises(DataError, match=rf"no program '{program}' - install it"):
            run_command(tmp_path, (program,), tmp_path / "out")


FAMILY = (
    "import os, subprocess, sys, time\np = subprocess.Popen([sys.executable, '-c', 'import "
    "time; time.sleep(60)'])\nprint(os.getpid(), p.pid, flush=True)\n"
)


def all_ended(pids: list[int]) -> bool:
    def alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"

    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("end", ["time.sleep(60)", ""])
@pytest.mark.slow
def test_a_program_is_stopped_with_all_its_processes(tmp_path, end):
    argv = script(tmp_path, FAMILY + end)
    if end:
        with pytest.raises(DataError, match=r"still running after 1 s - raise `timeout`"):
            run_command(tmp_path, argv, tmp_path / "out", timeout=1)
    else:
        run_command(tmp_path, argv, tmp_path / "out")
    assert all_ended([int(pid) for pid in (tmp_path / "out" / "rows.jsonl").read_text().split()])


def test_output_does_not_change_after_a_program_ended(tmp_path):
    forever = "while True: print(1, flush=True)"
    argv = script(
        tmp_path,
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', '{forever}'])\ntime.sleep(0.5)",
    )
    path = run_command(tmp_path, argv, tmp_path / "out")
    size = path.stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert path.stat().st_size == size


def test_a_program_is_killed_with_the_build(tmp_path):
    argv = script(tmp_path, FAMILY + "time.sleep(60)")
    build = (
        "import sys; from pathlib import Path; from punie_build.data.command_output import "
        "run_command; run_command(Path(sys.argv[1]), tuple(sys.argv[2:]), Path(sys.argv[1], 'out'))"
    )
    process = subprocess.Popen([sys.executable, "-c", build, str(tmp_path), *argv])
    rows = tmp_path / "out" / "rows.jsonl"
    deadline = time.monotonic() + 20
    while not (rows.exists() and len(rows.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all_ended([int(pid) for pid in rows.read_text().split()])


@pytest.mark.parametrize(
    ("kind", "table", "reason"),
    [
        (Http, {"url": "ftp://example.org/a.jsonl", "sha256": SHA}, "url"),
        (Http, {"url": "https://me:word@example.org/a.jsonl", "sha256": SHA}, "url"),
        (Http, {"url": "https://example.org/a.jsonl", "sha256": SHA.upper()}, "sha256"),
        (Http, {"url": "https://example.org/a.jsonl"}, "sha256"),
        (Http, {"url": "https://example.org/a", "sha256": SHA}, "add `format`, one of jsonl, "),
        (Http, {"url": "https://example.org/a", "sha256": SHA, "format": "xlsx"}, "format"),
        (Hub, {"repo": "rows", "revision": COMMIT}, "repo"),
        (Hub, {"repo": "me/rows", "revision": "main"}, "revision"),
        (Hub, {"repo": "me/rows", "revision": COMMIT, "files": ["a"], "split": "train"}, "remove `split`"),
        (Hub, {"repo": "me/rows", "revision": COMMIT, "limit": 0}, "limit"),
        (Command, {"argv": []}, "argv"),
        (Command, {"argv": [" "]}, "begins with an empty text"),
        (Command, {"argv": ["python make_rows.py"]}, "run without a shell"),
        (Local, {"path": "a", "format": "docx"}, "format"),
        (Local, {}, "path"),
    ],
)
def test_an_invalid_source_in_a_recipe_is_an_error(kind, table, reason):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(table, kind)
    assert reason in str(caught.value)


def test_a_source_has_a_format_and_inputs():
    assert Http(url="https://example.org/A.JSONL.GZ?x=1", sha256=SHA).file_format == "jsonl.gz"
    assert Http(url="https://example.org/%61.csv", sha256=SHA).file_format == "csv"
    assert Http(url="https://example.org/a.csv", sha256=SHA, format="tsv").file_format == "tsv"
    assert Local(path="raw").inputs() == ("raw",)
    argv = ("python", "./tools/make.py", "/opt/x.py", "--to=a.py", "https://example.org/a.py", "7")
    assert Command(argv=argv, reads=("raw", "tools/make.py")).inputs() == ("raw", "tools/make.py")
    assert Hub(repo="me/rows", revision=COMMIT).inputs() == ()
    assert {kind.__struct_config__.tag for kind in (Local, Http, Hub, Command)} == {"local", "http", "hub", "command"}


def test_a_docstring_and_its_code_become_request_and_answer():
    row = {
        "repository_name": "me/it",
        "func_name": "A.add",
        "language": "python",
        "func_documentation_string": "Add them.\n",
        "func_code_string": "\n    def add(a, b):\n        return a + b\n",
        "func_code_tokens": ["def"],
        "split_name": "train",
    }
    chat = code_pair_to_chat(row)
    assert parse(msgspec.json.encode(chat)).example.messages
    assert [message["content"] for message in chat.pop("messages")] == [
        "Write a Python function called `A.add`:\n\nAdd them.",
        "```python\n    def add(a, b):\n        return a + b\n```",
    ]
    assert chat == {"repository_name": "me/it", "func_name": "A.add", "language": "python", "split_name": "train"}


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"docstring": "d", "code": "x = 1"}, "```python\nx = 1\n```"),
        ({"docstring": "d", "whole_func_string": "x", "language": "go"}, "```go\nx\n```"),
        ({"docstring": "d", "code": "'''\n```\n'''"}, "````python\n'''\n```\n'''\n````"),
    ],
)
def test_other_keys_of_docstring_and_code(row, answer):
    assert code_pair_to_chat(row)["messages"][1]["content"] == answer


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [], "docstring": "d", "code": "c"},
        {"docstring": " ", "code": "c"},
        {"docstring": "d", "code": None},
        {"system": "SYSTEM: You", "chat": "USER: hi"},
        {},
    ],
)
def test_other_rows_are_returned_unchanged(row):
    assert code_pair_to_chat(row) is row


def test_concurrent_builds_download_a_file_once(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    threads = [
        threading.Thread(target=download_http, args=(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert web.requests == ["/a.jsonl"]
    assert downloaded(tmp_path) == [f"{SHA}.jsonl"]
    assert FOLDER == ".punie/downloads"
