"""HTTP servers that a store must survive: one that is silent, one that answers drop by drop, one that never ends."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from punie_build.testing.loopback_server import POLL_S


class _Handler(BaseHTTPRequestHandler):
    behavior = "silent"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests += 1  # type: ignore[attr-defined]
        if self.behavior == "silent":
            self.server.ended.wait()  # type: ignore[attr-defined]
            return
        self.send_response(200)
        self.end_headers()
        if self.command == "HEAD":
            return
        with suppress(OSError):
            while not self.server.ended.is_set():  # type: ignore[attr-defined]
                self.wfile.write(b"x" if self.behavior == "drip" else b"x" * (1 << 16))
                self.wfile.flush()
                if self.behavior == "drip":
                    time.sleep(0.1)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@contextmanager
def hostile_store(behavior: str) -> Iterator[socketserver.BaseServer]:
    """Run a server of a behavior: `silent`, `drip` or `flood`. It counts its `requests`, and has its URL."""
    handler = type("Handler", (_Handler,), {"behavior": behavior})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.requests, server.ended = 0, threading.Event()  # type: ignore[attr-defined]
    server.url = f"http://127.0.0.1:{server.server_address[1]}/store"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True).start()
    try:
        yield server
    finally:
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
