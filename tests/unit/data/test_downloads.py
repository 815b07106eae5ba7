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

from punie_build.data import downloads
from punie_build.data.downloads import choose, command, http
from punie_build.data.example import parse
from punie_build.data.readers.records import records
from punie_build.data.sources import Command, Http, Hub, Local, as_chat
from punie_build.errors import DataError
from punie_build.testing.fake_hub import COMMIT, FakeHub

CONTENT = b'{"a": 1}\n' * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Web:
    """A server of a few pages: path -> bytes, or (status, headers, bytes)."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.asked: list[str] = []
        self.packing: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                web.packing.append(self.headers["Accept-Encoding"])
                page = web.pages.get(self.path.partition("?")[0], (404, {}, b""))
                status, headers, content = page if isinstance(page, tuple) else (200, {}, page)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked has hung up
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


def left(root: Path) -> list[str]:
    """What lies in the place of downloads."""
    return sorted(path.name for path in (root / ".punie" / "downloads").iterdir())


def test_a_file_is_downloaded_once_and_known_by_its_digest(web, tmp_path):
    web.pages = {"/a.jsonl": (302, {"Location": "/b?key=1"}, b""), "/b": CONTENT}
    path = http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")
    assert path == tmp_path / ".punie" / "downloads" / f"{SHA}.jsonl"
    assert path.read_bytes() == CONTENT
    assert http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl") == path
    assert web.asked == ["/a.jsonl", "/b?key=1"]
    path.write_bytes(b"someone was here")
    assert http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl").read_bytes() == CONTENT
    assert left(tmp_path) == [f"{SHA}.jsonl"]


def test_bytes_are_kept_as_they_are_sent(web, tmp_path):
    packed = gzip.compress(CONTENT)
    web.pages = {"/a.jsonl.gz": (200, {"Content-Encoding": "gzip"}, packed)}  # as some servers say of any .gz
    path = http(tmp_path, f"{web.url}/a.jsonl.gz", hashlib.sha256(packed).hexdigest(), "jsonl.gz")
    assert path.read_bytes() == packed
    assert web.packing == ["identity"]
    assert sum(1 for _ in records(path)) == 1000


def test_what_is_here_needs_no_network_and_what_is_not_is_said(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    path = http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")
    web.close()
    assert http(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl") == path
    with pytest.raises(
        DataError, match=rf"{web.url}/b\.jsonl: cannot be downloaded .* put it at .*{'0' * 64}\.jsonl by"
    ):
        http(tmp_path, f"{web.url}/b.jsonl", "0" * 64, "jsonl")
    (tmp_path / ".punie" / "downloads" / f"{hashlib.sha256(b'x').hexdigest()}.jsonl").write_bytes(b"x")
    assert http(tmp_path, f"{web.url}/x.jsonl", hashlib.sha256(b"x").hexdigest(), "jsonl").read_bytes() == b"x"


def test_another_file_than_the_recipe_means_is_not_taken(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    with pytest.raises(DataError, match=rf"/a\.jsonl: its sha256 is {SHA}, the recipe says {'f' * 64} - "):
        http(tmp_path, f"{web.url}/a.jsonl?key=secret", "f" * 64, "jsonl")
    assert left(tmp_path) == []


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
        ((200, {"Transfer-Encoding": "chunked"}, b"110000\r\n" + bytes(0x110000) + b"\r\n0\r\n\r\n"), "larger than 1 MiB"),
        ((200, {"Content-Length": str(2**40)}, b""), "larger than 1 MiB"),
    ],
)  # fmt: skip
def test_what_a_server_may_do_is_told_and_leaves_nothing(web, tmp_path, page, reason):
    web.pages = {"/a.jsonl": page}
    if "chunked" in str(page[1]):
        page[1]["Content-Length"] = "0"
    with pytest.raises(DataError) as caught:
        http(tmp_path, f"{web.url}/a.jsonl?key=secret", "0" * 64, "jsonl", max_mb=1)
    assert str(caught.value).startswith(f"{web.url}/a.jsonl: ")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    assert left(tmp_path) == []


HUB = """
import sys
from ast import literal_eval
from pathlib import Path
from punie_build.data.downloads import hub
from punie_build.errors import DataError
try:
    print([(side, str(path)) for side, path in hub(Path(sys.argv[1]), **literal_eval(sys.argv[2]))])
except DataError as error:
    print(f"DataError {error}")
"""


@pytest.fixture
def asked(tmp_path):
    """Ask for a dataset as a build does; its answer, or its complaint."""

    def ask(hub: FakeHub, env: dict[str, str] | None = None, **more: Any) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", HUB, str(tmp_path), repr({"repo": "me/rows", "revision": COMMIT, **more})],
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
        out = done.stdout.strip()
        assert out, done.stderr
        return out if out.startswith("DataError") else [(side, Path(path)) for side, path in ast.literal_eval(out)]

    return ask


@pytest.fixture
def rows(tmp_path) -> Path:
    """A repo of a dataset: two configs, shards, sides, and what is no data."""
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


def test_a_dataset_of_the_hub_is_downloaded_once_and_keeps_its_sides(rows, asked):
    with FakeHub(datasets={"me/rows": rows}, page_size=2) as hub:
        found = asked(hub, config="python")
        assert [(side, path.name) for side, path in found] == [
            ("train", "train-00000-of-00002.jsonl"),
            ("train", "train-00001-of-00002.jsonl.gz"),
            ("valid", "validation-00000-of-00001.jsonl"),
        ]
        assert sum(1 for _, path in found for _ in records(path)) == 30
        assert not [path for path in hub.requests if "/go/" in path]
        before = len(hub.requests)
        assert asked(hub, config="python") == found
        assert len(hub.requests) == before
        assert [(side, path.parent.name) for side, path in asked(hub, split="train", config="go")] == [(None, "go")]
    assert asked(hub, config="python") == found  # the hub is gone
    assert asked(hub, {"HF_HUB_OFFLINE": "1"}, files=["python/train-*"]) == [(None, path) for _, path in found[:2]]
    told = asked(hub, {"HF_HUB_OFFLINE": "1"}, revision="f" * 40)
    assert told.startswith(f"DataError me/rows@{'f' * 40}: cannot be downloaded")
    assert "HF_HUB_OFFLINE is set: unset it" in told


def test_what_the_hub_does_not_have_is_said(rows, asked):
    with FakeHub(datasets={"me/rows": rows}) as hub:
        told = asked(hub, files=["nothing/*.parquet"])
        assert (
            "no such data file - name them with `files`; it has: dataset_infos.json, go/train-00000-of-00001.j" in told
        )
        for wrong in ({"repo": "me/other"}, {"revision": "f" * 40}):
            assert "check the name, the revision and the network" in asked(hub, **wrong)


@pytest.mark.parametrize("pack", ["", ".gz"])
def test_a_limit_reads_the_beginning_of_a_large_file_and_no_more(rows, asked, tmp_path, pack):
    lines = [json.dumps({"n": number, "text": os.urandom(500).hex()}).encode() for number in range(24_000)]
    content = b"\n".join(lines) + b"\n"
    (rows / f"train.jsonl{pack}").write_bytes(gzip.compress(content, 1) if pack else content)
    size = (rows / f"train.jsonl{pack}").stat().st_size
    assert size > 12 * 2**20
    with FakeHub(datasets={"me/rows": rows}) as hub:
        [(side, path)] = asked(hub, files=["train.*"], limit=100)
        assert side is None
        assert path.name == "train.jsonl"
        assert [line for _, line in records(path)] == lines[:100]
        assert hub.bytes_sent < size * 0.7  # what was on its way when we hung up, megabytes on a loopback
        before = len(hub.requests)
        assert asked(hub, files=["train.*"], limit=100) == [(None, path)]
        assert len(hub.requests) == before
    assert asked(hub, {"HF_HUB_OFFLINE": "1"}, files=["train.*"], limit=100) == [(None, path)]
    path.write_bytes(path.read_bytes()[:-9])  # torn by somebody: not taken
    told = asked(hub, {"HF_HUB_OFFLINE": "1"}, files=["train.*"], limit=100)
    assert f"train.jsonl{pack} is not on this machine - HF_HUB_OFFLINE is set: unset it" in told


def test_a_limit_goes_on_in_the_next_file_and_counts_each_side(rows, asked):
    with FakeHub(datasets={"me/rows": rows}) as hub:
        found = asked(hub, config="python", limit=15)
        counts = [(side, path.name, sum(1 for _ in records(path))) for side, path in found]
        assert counts == [
            ("train", "train.jsonl", 10),
            ("train", "train.jsonl", 5),
            ("valid", "validation.jsonl", 10),
        ]
        assert [side for side, _ in asked(hub, config="python", limit=10)] == ["train", "valid"]


NAMES = [
    "README.md", "data/train_sft-00000-of-00003-0a1b2c3d4e5f6a7b.parquet", "data/test_gen-00000-of-00001.parquet",
    "en/validation/0000.parquet", "de-train.jsonl", "default/train/0000.parquet",
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "split", "config", "found"),
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
def test_files_of_a_repo_are_chosen_by_the_words_in_their_names(files, split, config, found):
    assert choose(NAMES, files, split, config) == [NAMES[index] for index in found]


def script(root: Path, code: str) -> tuple[str, ...]:
    (root / "make.py").write_text(code)
    return ("python", "make.py")


def test_what_a_program_prints_is_rows(tmp_path):
    argv = script(tmp_path, "import os, sys; print(os.getcwd()); print(sys.argv[1:]); print('note', file=sys.stderr)")
    path = command(tmp_path, (*argv, "$HOME", "a b"), tmp_path / ".punie" / "logs" / "d")
    assert path.read_text().splitlines() == [str(tmp_path.resolve()), "['$HOME', 'a b']"]
    assert path.with_name("stderr.log").read_text() == "note\n"
    assert command(tmp_path, (*argv, "again"), path.parent) == path
    assert len(path.read_text().splitlines()) == 2


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path):
    argv = script(tmp_path, "import sys; print('row'); print('out of rows', file=sys.stderr); sys.exit(3)")
    with pytest.raises(
        DataError, match=r"(?s)python make\.py: ended with exit code 3 - .*stderr\.log:\n    out of rows"
    ):
        command(tmp_path, argv, tmp_path / "out")
    for nobody in ("no-such-program-here", "./make.sh"):
        with pytest.raises(DataError, match=rf"no program '{nobody}' - install it"):
            command(tmp_path, (nobody,), tmp_path / "out")


FAMILY = "import os, subprocess, sys, time\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\nprint(os.getpid(), p.pid, flush=True)\n"


def gone(pids: list[int]) -> bool:
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
def test_a_program_has_its_time_and_leaves_nobody_behind(tmp_path, end):
    argv = script(tmp_path, FAMILY + end)
    if end:
        with pytest.raises(DataError, match=r"not done after 1 s - raise `timeout`"):
            command(tmp_path, argv, tmp_path / "out", timeout=1)
    else:
        command(tmp_path, argv, tmp_path / "out")
    assert gone([int(pid) for pid in (tmp_path / "out" / "rows.jsonl").read_text().split()])


def test_nothing_is_printed_once_a_program_has_ended(tmp_path):
    forever = "while True: print(1, flush=True)"
    argv = script(
        tmp_path,
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', '{forever}'])\ntime.sleep(0.5)",
    )
    path = command(tmp_path, argv, tmp_path / "out")
    size = path.stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert path.stat().st_size == size


def test_a_program_dies_with_the_build(tmp_path):
    argv = script(tmp_path, FAMILY + "time.sleep(60)")
    build = "import sys; from pathlib import Path; from punie_build.data.downloads import command; command(Path(sys.argv[1]), tuple(sys.argv[2:]), Path(sys.argv[1], 'out'))"
    process = subprocess.Popen([sys.executable, "-c", build, str(tmp_path), *argv])
    rows = tmp_path / "out" / "rows.jsonl"
    deadline = time.monotonic() + 20
    while not (rows.exists() and len(rows.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone([int(pid) for pid in rows.read_text().split()])


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
        (Command, {"argv": [" "]}, "begins with an empty word"),
        (Command, {"argv": ["python make_rows.py"]}, "no shell reads it"),
        (Local, {"path": "a", "format": "docx"}, "format"),
        (Local, {}, "path"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(kind, table, reason):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(table, kind)
    assert reason in str(caught.value)


def test_a_source_names_its_format_and_what_it_reads():
    assert Http(url="https://example.org/A.JSONL.GZ?x=1", sha256=SHA).form == "jsonl.gz"
    assert Http(url="https://example.org/%61.csv", sha256=SHA).form == "csv"
    assert Http(url="https://example.org/a.csv", sha256=SHA, format="tsv").form == "tsv"
    assert Local(path="raw").inputs() == ("raw",)
    argv = ("python", "./tools/make.py", "/opt/x.py", "--to=a.py", "https://example.org/a.py", "7")
    assert Command(argv=argv, reads=("raw", "tools/make.py")).inputs() == ("raw", "tools/make.py")
    assert Hub(repo="me/rows", revision=COMMIT).inputs() == ()
    assert {kind.__struct_config__.tag for kind in (Local, Http, Hub, Command)} == {"local", "http", "hub", "command"}


def test_a_docstring_and_its_code_are_a_request_and_its_answer():
    row = {
        "repository_name": "me/it", "func_name": "A.add", "language": "python", "func_documentation_string": "Add them.\n",
        "func_code_string": "\n    def add(a, b):\n        return a + b\n", "func_code_tokens": ["def"], "split_name": "train",
    }  # fmt: skip
    chat = as_chat(row)
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
def test_other_names_for_the_same(row, answer):
    assert as_chat(row)["messages"][1]["content"] == answer


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
def test_other_rows_stay_as_they_are(row):
    assert as_chat(row) is row


def test_two_builds_download_a_file_once(web, tmp_path):
    web.pages = {"/a.jsonl": CONTENT}
    threads = [threading.Thread(target=http, args=(tmp_path, f"{web.url}/a.jsonl", SHA, "jsonl")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert web.asked == ["/a.jsonl"]
    assert left(tmp_path) == [f"{SHA}.jsonl"]
    assert downloads.PLACE == ".punie/downloads"
