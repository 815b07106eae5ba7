"""Send HTTP responses from a handler of `http.server`."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any


def send_headers(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    """Send the status line and the headers."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def send_text(handler: BaseHTTPRequestHandler, status: int, text: bytes) -> None:
    """Send a complete response with this body."""
    send_headers(handler, status, {"Content-Length": str(len(text))})
    handler.wfile.write(text)


def send_json(
    handler: BaseHTTPRequestHandler,
    value: Any,
    headers: dict[str, str] | None = None,
    *,
    body: bool = True,
    status: int = 200,
) -> None:
    """Send a value as JSON. `body=False` answers a HEAD request: the headers only."""
    content = json.dumps(value).encode()
    fixed = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    send_headers(handler, status, fixed | (headers or {}))
    if body:
        handler.wfile.write(content)
