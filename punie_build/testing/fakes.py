"""Testing: stand-ins for what cannot run on a test machine, speaking the real protocol on a real socket.

with FakeHub({"me/model": folder}) as hub:
    ... HF_ENDPOINT=hub.url ...

Served(model=nano, program=("punie_build.testing.fakes", "prose"))      a server that always says the same
Served(model=nano, program=("punie_build.testing.fakes", "echo"))       ... that says what it was told, or fails as it is told: `!hang`
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_test"  # noqa: S105 - nobody's
LARGE = 4096


class FakeHub:
    """A Hugging Face Hub of local folders: info, file tree and downloads of models and datasets, each at the one commit `COMMIT`.

    `asked` holds the path of every request, in order; `sent` how many bytes of files went out. A tree comes in pages of
    `page` files. Whoever has the token `TOKEN` may make repositories and commit to them: `taken` maps each to its files, `commits`
    are their messages. Files above `LARGE` bytes come by Git LFS.
    """

    def __init__(
        self, repos: dict[str, Path] | None = None, datasets: dict[str, Path] | None = None, page: int = 1000
    ) -> None:
        self.kinds = {"models": repos or {}, "datasets": datasets or {}}
        self.asked, self.sent, self.page = list[str](), 0, page
        self.taken: dict[str, dict[str, bytes]] = {}
        self.private, self.commits, self.objects = set[str](), list[str](), dict[str, bytes]()

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_POST(self) -> None:
                hub.write(self)

            def do_PUT(self) -> None:
                hub.write(self)

            def log_message(self, *_: Any) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path, _, query = request.path.partition("?")
        self.asked.append(path)
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        file = re.fullmatch(r"(?:/(datasets))?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api and (folder := self.kinds[api[1]].get(api[2])) and api[4] == COMMIT:
            found = sorted(path for path in folder.rglob("*") if path.is_file())
            if api[3] == "revision":
                names = [{"rfilename": path.relative_to(folder).as_posix()} for path in found]
                _json(request, {"id": api[2], "sha": COMMIT, "siblings": names}, {}, body)
            else:
                start = int(parse_qs(query).get("cursor", ["0"])[0])
                more = f'<{self.url}{path}?recursive=true&cursor={start + self.page}>; rel="next"'
                listed = [_entry(folder, path) for path in found[start : start + self.page]]
                _json(request, listed, {"Link": more} if start + self.page < len(found) else {}, body)
        elif file and file[3] == COMMIT and (place := self.place(file[1] or "models", file[2], unquote(file[4]))):
            etag = f'"{hashlib.sha256(place.read_bytes()).hexdigest()}"'
            _head(request, 200, {"ETag": etag, "X-Repo-Commit": COMMIT, "Content-Length": str(place.stat().st_size)})
            if body:
                self.send(request, place)
        else:
            _head(request, 404, {"X-Error-Code": "RevisionNotFound", "Content-Length": "0"})

    def write(self, request: BaseHTTPRequestHandler) -> None:
        """What somebody gives: a repository, a card to look at, files, a commit."""
        path = request.path.partition("?")[0]
        self.asked.append(path)
        content = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        repo = next(iter(re.findall(r"/(?:api/models/)?([^/]+/[^/]+?)(?:\.git)?/(?:preupload|commit|info)/", path)), "")
        if path.startswith("/lfs/"):
            self.objects[path.removeprefix("/lfs/")] = content
            _json(request, {}, {}, body=True)
        elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
            _head(request, 401, {"X-Error-Message": "Invalid user token", "Content-Length": "0"})
        elif path == "/api/validate-yaml":
            _json(request, {"errors": [], "warnings": []}, {}, body=True)
        elif path == "/api/repos/create":
            self.create(request, json.loads(content))
        elif repo in self.taken:
            _json(request, self.given(repo, path, content), {}, body=True)
        else:
            _head(request, 404, {"X-Error-Code": "RepoNotFound", "Content-Length": "0"})

    def create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization'] or 'me'}/{asked['name']}"
        there = repo in self.taken
        self.taken.setdefault(repo, {})
        if asked.get("visibility") == "private" or asked.get("private"):
            self.private.add(repo)
        _json(request, {"url": f"{self.url}/{repo}", "name": repo}, {}, body=True, status=409 if there else 200)

    def given(self, repo: str, path: str, content: bytes) -> dict[str, Any]:
        """The answer to a step of an upload."""
        if "/preupload/" in path:
            files = json.loads(content)["files"]
            modes = [(each["path"], "lfs" if each["size"] > LARGE else "regular") for each in files]
            return {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes]}
        if path.endswith("/info/lfs/objects/batch"):
            wanted = json.loads(content)["objects"]
            actions = {each["oid"]: {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}} for each in wanted}
            return {"transfer": "basic", "objects": [each | {"actions": actions[each["oid"]]} for each in wanted]}
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                self.taken[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.taken[repo][value["path"]] = self.objects[value["oid"]]
        return {"commitUrl": f"{self.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}

    def place(self, kind: str, repo: str, name: str) -> Path | None:
        folder = self.kinds[kind].get(repo)
        return folder / name if folder and (folder / name).is_file() else None

    def send(self, request: BaseHTTPRequestHandler, place: Path) -> None:
        """The content of a file, until it has gone out or whoever asked has hung up."""
        with place.open("rb") as file, suppress(ConnectionError):
            while piece := file.read(2**16):
                request.wfile.write(piece)
                self.sent += len(piece)


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    content, name = path.read_bytes(), path.relative_to(folder).as_posix()
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324 - git's own name


def _json(request: BaseHTTPRequestHandler, value: Any, headers: dict[str, str], body: bool, status: int = 200) -> None:
    content = json.dumps(value).encode()
    _head(request, status, {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers})
    if body:
        request.wfile.write(content)


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()


class FakeServer:
    """An `mlx_lm.server` without a model: the same requests, the same answers' form, the same lines in its log.

    `voice` is what it says: `empty` nothing, `prose` a sentence, `echo` the last message. An echo does what a message that begins
    with `!` asks for: `FAULTS`. Requests for 8 tokens or fewer, which is what a start and canaries ask, are always answered.
    """

    def __init__(self, voice: str, model: Path, port: int) -> None:
        from tokenizers import Tokenizer

        self.voice, self.alive = voice, True
        self.tokens = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.seen: set[str] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _json(self, {}, {}, True) if fake.alive else _head(self, 503, {"Content-Length": "0"})

            def do_POST(self) -> None:
                fake.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def answer(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        text = str(body["messages"][-1]["content"])
        if body["max_tokens"] <= 8:
            _json(request, self.choice("hello"), {}, True)
        elif not self.alive:
            _plain(request, 404, b"generation has ended")
        elif self.voice == "echo" and text.startswith("!"):
            FAULTS[text.split(maxsplit=1)[0]](self, request, body)
        else:
            _json(request, self.choice({"empty": "", "prose": PROSE, "echo": text}[self.voice]), {}, True)

    def choice(self, content: Any, finish: str = "stop", calls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        ids = self.tokens.encode(str(content).encode("utf-8", "replace").decode()).ids
        said = {"role": "assistant", "content": content, "tool_calls": calls or []}
        logprobs = {"content": [{"id": token, "logprob": -0.5} for token in ids]}
        return {"choices": [{"message": said, "logprobs": logprobs, "finish_reason": finish}]}


PROSE = "That is a good question, and there is much to say about it. In general it depends on the circumstances."
ODD = "nul \x00 esc \x1b[31m rtl \u202e half \ud800 four \U0001f389"


def _flaky(fake: FakeServer, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    text = json.dumps(body)
    if text in fake.seen:
        _json(request, fake.choice("at last"), {}, True)
    else:
        fake.seen.add(text)
        _plain(request, 503, b"busy")


def _stops(fake: FakeServer, request: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    """The generation thread dies, and the process lives on."""
    fake.alive = False
    _plain(request, 404, b"broken")


def _huge(_fake: FakeServer, request: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    _head(request, 200, {"Content-Length": str(100 << 20)})
    with suppress(ConnectionError):
        for _ in range(100):
            request.wfile.write(b"x" * (1 << 20))


def _half(_fake: FakeServer, request: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    _head(request, 200, {"Content-Length": "1000"})
    request.wfile.write(b'{"choices": [{"message"')


def _loops(fake: FakeServer, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    _json(request, fake.choice("again " * body["max_tokens"], "length"), {}, True)


def _torn_call(fake: FakeServer, request: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    calls = [{"function": {"name": "read_file", "arguments": '{"path": "x'}}]
    _json(request, fake.choice(None, "tool_calls", calls), {}, True)


Fault = Callable[[FakeServer, BaseHTTPRequestHandler, dict[str, Any]], object]
FAULTS: dict[str, Fault] = {
    "!hang": lambda *_: time.sleep(3600),
    "!die": lambda *_: os._exit(1),
    "!stop": _stops,
    "!500": lambda _fake, request, _body: _plain(request, 500, b"Internal Server Error"),
    "!flaky": _flaky,
    "!garbage": lambda _fake, request, _body: _plain(request, 200, b"<html>"),
    "!nothing": lambda _fake, request, _body: _plain(request, 200, b""),
    "!nonsense": lambda _fake, request, _body: _json(request, {"choices": [{"message": 3}]}, {}, True),
    "!huge": _huge,
    "!half": _half,
    "!loop": _loops,
    "!call": _torn_call,
    "!odd": lambda fake, request, _body: _json(request, fake.choice(ODD), {}, True),
}


def _plain(request: BaseHTTPRequestHandler, status: int, text: bytes) -> None:
    _head(request, status, {"Content-Length": str(len(text))})
    request.wfile.write(text)


if __name__ == "__main__":
    words = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
    fake = FakeServer(sys.argv[1], Path(words["--model"]), int(words["--port"]))
    print(f"Starting httpd at 127.0.0.1 on port {words['--port']}...", flush=True)
    fake.server.serve_forever()
