"""An `mlx_lm.server` without a model, for tests of its clients.

ServedModel(model=nano, program=("punie_build.testing.fake_server", "prose"))    always the same sentence
ServedModel(model=nano, program=("punie_build.testing.fake_server", "echo"))     the last message, or the fault it names
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from punie_build.evaluation.canary import CANARY_PROMPTS
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.testing.http_response import send_headers, send_json, send_text

PROSE = "That is a good question, and there is much to say about it. In general it depends on the circumstances."
UNUSUAL_TEXT = "nul \x00 esc \x1b[31m rtl \u202e half \ud800 four \U0001f389"


class FakeServer:
    """An `mlx_lm.server` without a model: the same requests, the same form of response, the same lines in its log.

    `mode` decides the content of its responses: `empty`, `prose` (one sentence) or `echo` (the last message). In the
    mode `echo`, a message that begins with a key of `FAULTS` causes that fault. A request for 8 tokens or fewer, as the
    check of a start and the canaries send, always succeeds.
    """

    def __init__(self, mode: str, model: Path, port: int) -> None:
        from tokenizers import Tokenizer

        self.mode, self.generates = mode, True
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.seen_requests: set[str] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                send_json(self, {}) if fake.generates else send_text(self, 503, b"")

            def do_POST(self) -> None:
                fake.handle(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def handle(self, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        """Answer one chat request."""
        text = str(request["messages"][-1]["content"])
        if request["max_tokens"] <= 8:
            send_json(handler, self.response("hello"))
        elif not self.generates:
            send_text(handler, 404, b"generation has ended")
        elif self.mode == "echo" and text.startswith("!"):
            FAULTS[text.split(maxsplit=1)[0]](self, handler, request)
        else:
            send_json(handler, self.response({"empty": "", "prose": PROSE, "echo": text}[self.mode]))

    def response(self, content: Any, finish: str = "stop", calls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Return the response body with this content, its token ids and made-up log-probabilities."""
        ids = self.tokenizer.encode(str(content).encode("utf-8", "replace").decode()).ids
        message = {"role": "assistant", "content": content, "tool_calls": calls or []}
        logprobs = {"content": [{"id": token, "logprob": -0.5} for token in ids]}
        return {"choices": [{"message": message, "logprobs": logprobs, "finish_reason": finish}]}


def _flaky(fake: FakeServer, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    text = json.dumps(request)
    if text in fake.seen_requests:
        send_json(handler, fake.response("at last"))
    else:
        fake.seen_requests.add(text)
        send_text(handler, 503, b"busy")


def _stop_generating(fake: FakeServer, handler: BaseHTTPRequestHandler, _request: dict[str, Any]) -> None:
    """End the generation thread; the process continues to run."""
    fake.generates = False
    send_text(handler, 404, b"broken")


def _huge(_fake: FakeServer, handler: BaseHTTPRequestHandler, _request: dict[str, Any]) -> None:
    send_headers(handler, 200, {"Content-Length": str(100 << 20)})
    with suppress(ConnectionError):
        for _ in range(100):
            handler.wfile.write(b"x" * (1 << 20))


def _half(_fake: FakeServer, handler: BaseHTTPRequestHandler, _request: dict[str, Any]) -> None:
    send_headers(handler, 200, {"Content-Length": "1000"})
    handler.wfile.write(b'{"choices": [{"message"')


def _loop(fake: FakeServer, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    send_json(handler, fake.response("again " * request["max_tokens"], "length"))


def _truncated_call(fake: FakeServer, handler: BaseHTTPRequestHandler, _request: dict[str, Any]) -> None:
    calls = [{"function": {"name": "read_file", "arguments": '{"path": "x'}}]
    send_json(handler, fake.response(None, "tool_calls", calls))


Fault = Callable[[FakeServer, BaseHTTPRequestHandler, dict[str, Any]], object]
FAULTS: dict[str, Fault] = {
    "!hang": lambda *_: time.sleep(3600),
    "!die": lambda *_: os._exit(1),
    "!stop": _stop_generating,
    "!500": lambda _fake, handler, _request: send_text(handler, 500, b"Internal Server Error"),
    "!flaky": _flaky,
    "!garbage": lambda _fake, handler, _request: send_text(handler, 200, b"<html>"),
    "!empty": lambda _fake, handler, _request: send_text(handler, 200, b""),
    "!no-choice": lambda _fake, handler, _request: send_json(handler, {"choices": [{"message": 3}]}),
    "!huge": _huge,
    "!half": _half,
    "!loop": _loop,
    "!call": _truncated_call,
    "!unusual": lambda fake, handler, _request: send_json(handler, fake.response(UNUSUAL_TEXT)),
}


if __name__ == "__main__":
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
    if "--canaries" in options:  # of other weights than those that answer
        other = [[(1, -0.1)]] * len(CANARY_PROMPTS)
        ResponseCache(Path(options["--canaries"]), skip_existing=True).add_canaries(other, other)
    fake = FakeServer(sys.argv[1], Path(options["--model"]), int(options["--port"]))
    print(f"Starting httpd at 127.0.0.1 on port {options['--port']}...", flush=True)
    fake.server.serve_forever()
