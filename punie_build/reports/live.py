"""The server of `punie-build watch`: the pages in `reports/` and the events of builds, for browsers of this machine.

`/` is a frame around the pages: it shows how far a build is, and loads the page again at its end. `/events` are the
events of `.punie/events.jsonl` as server-sent events. The server is bound to 127.0.0.1, refuses requests that name
another host or come from a page of another origin, and changes no file.
"""

from __future__ import annotations

import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from punie_build.engine import events
from punie_build.errors import UseError
from punie_build.evaluation import named_server
from punie_build.reports import html
from punie_build.storage import paths

ADDRESS = "127.0.0.1"
TYPES = {".html": "text/html", ".md": "text/plain", ".json": "application/json", ".csv": "text/csv"}
POLL_SECONDS = 0.1
ALIVE_SECONDS = 5.0  # a comment that often tells whether the browser is still there
NO_PAGE = "<!doctype html><html lang=en><title>no page</title><p>No page yet: the first build renders it at its end."


class LiveServer(ThreadingHTTPServer):
    """Serves one project. `port` 0 takes a free one. Raises UseError if the port is in use."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, root: Path, port: int = 0) -> None:
        self.root = root
        try:
            super().__init__((ADDRESS, port), LiveHandler)
        except (OSError, OverflowError) as error:
            raise UseError(f"--port {port}: {error} - choose another port, or 0 for a free one") from None

    def handle_error(self, request: object, client_address: object) -> None:
        """Print the traceback of a bug; a browser that left is none."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def origin(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}"


class LiveHandler(BaseHTTPRequestHandler):
    """Answers GET: the frame, the events, or a page. Other methods are refused by the base class."""

    def do_GET(self) -> None:
        server = cast("LiveServer", self.server)
        origin = self.headers.get("Origin")
        origins = (server.origin, server.origin.replace(ADDRESS, "localhost"))
        if not named_server.is_local(self.headers.get("Host")) or origin not in (None, *origins):
            self._send(HTTPStatus.FORBIDDEN, b"only for this machine", "text/plain")
            return
        name = unquote(urlsplit(self.path).path)[1:]
        if not name:
            self._send(HTTPStatus.OK, html.live_frame(server.root.resolve().name).encode(), "text/html")
        elif name == "events":
            self._send_events(server.root)
        else:
            self._send_page(server.root, name)

    def _send_page(self, root: Path, name: str) -> None:
        folder = root / Path(paths.INDEX).parent
        names = {path.name for path in folder.glob("*") if path.suffix in TYPES and path.is_file()}
        if name in names:
            self._send(HTTPStatus.OK, (folder / name).read_bytes(), TYPES[Path(name).suffix])
        elif name == Path(paths.INDEX).name:
            self._send(HTTPStatus.OK, NO_PAGE.encode(), "text/html")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"no such page", "text/plain")

    def _send_events(self, root: Path) -> None:
        """Send events until the browser leaves. `live` separates those of the past from those that follow."""
        self._send_head(HTTPStatus.OK, "text/event-stream")
        is_live, sent = False, time.monotonic()
        try:
            for line in events.follow(root):
                if line is not None:
                    self.wfile.write(f"data: {line}\n\n".encode())
                    continue
                if not is_live:
                    is_live = True
                    self.wfile.write(b'data: {"event": "live"}\n\n')
                if time.monotonic() - sent > ALIVE_SECONDS:
                    sent = time.monotonic()
                    self.wfile.write(b": alive\n\n")
                time.sleep(POLL_SECONDS)
        except OSError:  # the browser left
            self.close_connection = True

    def _send(self, status: HTTPStatus, content: bytes, media_type: str) -> None:
        self._send_head(status, media_type)
        self.wfile.write(content)

    def _send_head(self, status: HTTPStatus, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{media_type}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
        """Print no line: the terminal shows the build."""
