"""Testing: stand-ins for what cannot run on a test machine, speaking the real protocol on a real socket.

with FakeHub({"me/model": folder}) as hub:
    ... HF_ENDPOINT=hub.url ...
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """A Hugging Face Hub of local folders: info, file tree and downloads of models and datasets, each at the one commit `COMMIT`.

    `asked` holds the path of every request, in order; `sent` how many bytes of files went out. A tree comes in pages of
    `page` files.
    """

    def __init__(
        self, repos: dict[str, Path] | None = None, datasets: dict[str, Path] | None = None, page: int = 1000
    ) -> None:
        self.kinds = {"models": repos or {}, "datasets": datasets or {}}
        self.asked, self.sent, self.page = list[str](), 0, page

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

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


def _json(request: BaseHTTPRequestHandler, value: Any, headers: dict[str, str], body: bool) -> None:
    content = json.dumps(value).encode()
    _head(request, 200, {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers})
    if body:
        request.wfile.write(content)


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
