"""A Hugging Face Hub of local folders, for tests without a network.

with FakeHub({"me/model": folder}) as hub:
    ... HF_ENDPOINT=hub.url ...
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from punie_build.testing.http_response import send_headers, send_json
from punie_build.testing.loopback_server import LoopbackServer, QuietHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # the one commit of every repository
TOKEN = "hf_of_the_test"  # noqa: S105 - valid on this fake only
LFS_BYTES = 4096  # larger files are uploaded by Git LFS


class FakeHub(LoopbackServer):
    """A Hugging Face Hub of local folders: info, file tree and downloads of models and datasets, all at the commit
    `COMMIT`.

    `requests` is the list of requested paths, in order; `bytes_sent` counts the bytes of file contents, of which no
    more than `max_bytes` are sent. With `corrupts`, files arrive changed. A file tree is split into pages of
    `page_size` files. A client with the token `TOKEN` may create repositories and commit to them: `uploads` maps each
    repository to its files, `private` names the private ones, `commits` lists the commit messages.
    """

    def __init__(
        self, models: dict[str, Path] | None = None, datasets: dict[str, Path] | None = None, page_size: int = 1000
    ) -> None:
        self.folders = {"models": models or {}, "datasets": datasets or {}}
        self.max_bytes, self.corrupts = 2**62, False
        self.requests, self.bytes_sent, self.page_size = list[str](), 0, page_size
        self.uploads: dict[str, dict[str, bytes]] = {}
        self.private, self.commits, self.lfs_objects = set[str](), list[str](), dict[str, bytes]()

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(QuietHandler, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.handle_read(self, body=True)

            def do_HEAD(self) -> None:
                hub.handle_read(self, body=False)

            def do_POST(self) -> None:
                hub.handle_write(self)

            def do_PUT(self) -> None:
                hub.handle_write(self)

        self.listen(Handler)
        return self

    def handle_read(self, handler: BaseHTTPRequestHandler, body: bool) -> None:
        """Answer a GET request, or without `body` a HEAD request."""
        path, _, query = handler.path.partition("?")
        self.requests.append(path)
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        file = re.fullmatch(r"(?:/(datasets))?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api and (folder := self.folders[api[1]].get(api[2])) and api[4] in (COMMIT, "main"):
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            if api[3] == "revision":
                names = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
                send_json(handler, {"id": api[2], "sha": COMMIT, "siblings": names}, body=body)
            else:
                start = int(parse_qs(query).get("cursor", ["0"])[0])
                end = start + self.page_size
                next_page = f'<{self.url}{path}?recursive=true&cursor={end}>; rel="next"'
                entries = [_tree_entry(folder, path) for path in files[start:end]]
                send_json(handler, entries, {"Link": next_page} if end < len(files) else {}, body=body)
        elif file and file[3] == COMMIT and (source := self.find(file[1] or "models", file[2], unquote(file[4]))):
            etag = f'"{hashlib.sha256(source.read_bytes()).hexdigest()}"'
            size, first = source.stat().st_size, _first_byte(handler)
            headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Content-Length": str(size - first)}
            if first:
                headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
            send_headers(handler, 206 if first else 200, headers)
            if body:
                self.send_file(handler, source, first)
        else:
            send_headers(handler, 404, {"X-Error-Code": "RevisionNotFound", "Content-Length": "0"})

    def handle_write(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a POST or PUT request: a new repository, a card to validate, file contents, a commit."""
        path = handler.path.partition("?")[0]
        self.requests.append(path)
        content = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        repo = next(iter(re.findall(r"/(?:api/models/)?([^/]+/[^/]+?)(?:\.git)?/(?:preupload|commit|info)/", path)), "")
        if path.startswith("/lfs/"):
            self.lfs_objects[path.removeprefix("/lfs/")] = content
            send_json(handler, {})
        elif handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            send_headers(handler, 401, {"X-Error-Message": "Invalid user token", "Content-Length": "0"})
        elif path == "/api/validate-yaml":
            send_json(handler, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create_repo(handler, json.loads(content))
        elif repo in self.uploads:
            send_json(handler, self.upload_step(repo, path, content))
        else:
            send_headers(handler, 404, {"X-Error-Code": "RepoNotFound", "Content-Length": "0"})

    def create_repo(self, handler: BaseHTTPRequestHandler, options: dict[str, Any]) -> None:
        """Create a repository; answer 409 if it exists."""
        repo = f"{options['organization'] or 'me'}/{options['name']}"
        exists = repo in self.uploads
        self.uploads.setdefault(repo, {})
        if options.get("visibility") == "private" or options.get("private"):
            self.private.add(repo)
        send_json(handler, {"url": f"{self.url}/{repo}", "name": repo}, status=409 if exists else 200)

    def upload_step(self, repo: str, path: str, content: bytes) -> dict[str, Any]:
        """Return the response to one step of an upload: the preupload check, the LFS batch, or the commit."""
        if "/preupload/" in path:
            files = json.loads(content)["files"]
            modes = [(file["path"], "lfs" if file["size"] > LFS_BYTES else "regular") for file in files]
            return {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes]}
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(content)["objects"]
            actions = {item["oid"]: {"upload": {"href": f"{self.url}/lfs/{item['oid']}"}} for item in objects}
            return {"transfer": "basic", "objects": [item | {"actions": actions[item["oid"]]} for item in objects]}
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                self.uploads[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.uploads[repo][value["path"]] = self.lfs_objects[value["oid"]]
        return {"commitUrl": f"{self.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}

    def find(self, kind: str, repo: str, name: str) -> Path | None:
        """Return the local file of a repository, or None."""
        folder = self.folders[kind].get(repo)
        return folder / name if folder and (folder / name).is_file() else None

    def send_file(self, handler: BaseHTTPRequestHandler, path: Path, first: int = 0) -> None:
        """Send the content of a file from a byte until its end, until the client closes the connection, or until
        `max_bytes` are sent in all: then the connection breaks."""
        with path.open("rb") as file, suppress(ConnectionError):
            file.seek(first)
            while block := file.read(2**16):
                if self.bytes_sent + len(block) > self.max_bytes:
                    handler.close_connection = True
                    return
                handler.wfile.write(block.swapcase() if self.corrupts else block)
                self.bytes_sent += len(block)


def _first_byte(handler: BaseHTTPRequestHandler) -> int:
    """Return the first byte of a requested range."""
    match = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(match[1]) if match else 0


def _tree_entry(folder: Path, path: Path) -> dict[str, Any]:
    content, name = path.read_bytes(), path.relative_to(folder).as_posix()
    oid = hashlib.sha1(content).hexdigest()  # noqa: S324 - the hash that git uses
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": oid}
    if path.suffix == ".safetensors":  # in Git LFS
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry
