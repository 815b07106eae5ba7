"""Testing: stand-ins for what cannot run on a test machine, speaking the real protocol on a real socket.

with FakeHub({"me/model": folder}) as hub:
    ... HF_ENDPOINT=hub.url ...
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """A Hugging Face Hub of local folders: model info, file tree and downloads, each repo at the one commit `COMMIT`.

    `asked` holds the path of every request, in order.
    """

    def __init__(self, repos: dict[str, Path]) -> None:
        self.repos, self.asked = repos, list[str]()

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
        path = request.path.partition("?")[0]
        self.asked.append(path)
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api and api[1] in self.repos and api[3] == COMMIT:
            files = sorted(path for path in self.repos[api[1]].iterdir() if path.is_file())
            listed: Any = [_entry(path) for path in files]
            if api[2] == "revision":
                listed = {"id": api[1], "sha": COMMIT, "siblings": [{"rfilename": path.name} for path in files]}
            _send(request, 200, json.dumps(listed).encode(), {"Content-Type": "application/json"}, body)
        elif file and file[1] in self.repos and file[2] == COMMIT and (self.repos[file[1]] / file[3]).is_file():
            content = (self.repos[file[1]] / file[3]).read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            _send(request, 200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)
        else:
            _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"}, body)


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"type": "file", "path": path.name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324 - git's own name


def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
    request.send_response(status)
    for name, value in (headers | {"Content-Length": str(len(content))}).items():
        request.send_header(name, value)
    request.end_headers()
    if body:
        request.wfile.write(content)
