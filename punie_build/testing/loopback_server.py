"""An HTTP server on a free port of the loopback interface, for the fakes."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

POLL_S = 0.02  # how soon `shutdown` is noticed, in seconds


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that prints no request."""

    def log_message(self, *_: Any) -> None:
        """Log no request on stderr."""


class LoopbackServer:
    """A context manager whose `__enter__` calls `listen`; `url` is the address."""

    def listen(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Serve in a thread until the context ends."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(POLL_S,), daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
