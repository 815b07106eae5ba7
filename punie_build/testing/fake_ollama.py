"""An endpoint of the OpenAI protocol as Ollama serves it, without a model, for tests of endpoint arms.

with FakeOllama({"tiny": lambda request: "Hello."}) as server:
    ... url = server.url ...
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.testing.http_response import send_headers, send_json, send_text
from punie_build.testing.loopback_server import LoopbackServer, QuietHandler

Reply = Callable[[dict[str, Any]], "str | dict[str, Any]"]  # request -> text, or an assistant message


class FakeOllama(LoopbackServer):
    """A server with models by name: each is a function from a request to a text or an assistant message.

    `requests` lists the bodies that it received, `headers` those of the last request. With `key`, other keys are
    refused, and the message repeats them. A user message that begins with a key of `FAULTS` causes that fault.
    """

    def __init__(self, models: Mapping[str, Reply], key: str = "") -> None:
        self.models, self.key = models, key
        self.requests: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> FakeOllama:
        fake = self

        class Handler(QuietHandler, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                names = [{"id": name, "owned_by": "library"} for name in fake.models]
                send_json(self, {"object": "list", "data": names})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.lock, suppress(ConnectionError):
                    fake.requests.append(body)
                    fake.headers = dict(self.headers)
                with suppress(ConnectionError):
                    fake.handle(self, body)

        self.listen(Handler)
        return self

    def handle(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """Answer one request."""
        sent = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        text, model = str(body["messages"][-1].get("content")), named_model(body)
        if self.key and sent != self.key:
            send_json(handler, {"error": {"message": f"Incorrect API key provided: {sent}"}}, status=401)
        elif handler.path != "/v1/chat/completions":
            send_text(handler, 404, b"404 page not found")
        elif model not in self.models:
            send_json(handler, {"error": {"message": f'model "{model}" not found, try pulling it'}}, status=404)
        elif text.split(maxsplit=1)[:1] and text.split(maxsplit=1)[0] in FAULTS:
            FAULTS[text.split(maxsplit=1)[0]](self, handler, body)
        elif body.get("stream"):
            self.stream(handler, self.response(body))
        else:
            send_json(handler, self.response(body))

    def stream(self, handler: BaseHTTPRequestHandler, response: dict[str, Any]) -> None:
        """Send a response as events, half of its text at a time."""
        message = response["choices"][0]["message"]
        text = str(message.get("content") or "")
        parts = [{"content": text[: len(text) // 2]}, {**message, "content": text[len(text) // 2 :]}]
        events = [json.dumps({"choices": [{"index": 0, "delta": part}]}) for part in parts]
        send_text(handler, 200, "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode())

    def response(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a request: no log-probabilities and no token ids, but the number of tokens."""
        model = named_model(body)
        reply = self.models[model](body)
        answer: dict[str, Any] = reply if isinstance(reply, dict) else {"content": reply}
        finish = "tool_calls" if answer.get("tool_calls") else "stop"
        words = len(str(answer.get("content") or "").split())
        return {
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", **answer}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words},
        }


def named_model(body: dict[str, Any]) -> str:
    """Return the name of the model in a request."""
    return msgspec.convert(body, _Request).model


class _Request(Struct):
    model: str


def _busy(fake: FakeOllama, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    if fake.requests.count(body) > 1:
        send_json(handler, fake.response(body))
    else:
        send_json(handler, {"error": {"message": "busy"}}, {"Retry-After": "0.01"}, status=429)


def _drip(_fake: FakeOllama, handler: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    send_headers(handler, 200, {"Content-Length": "100000"})
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def _huge(_fake: FakeOllama, handler: BaseHTTPRequestHandler, _body: dict[str, Any]) -> None:
    send_headers(handler, 200, {"Content-Length": str(100 << 20)})
    for _ in range(100):
        handler.wfile.write(b"x" * (1 << 20))


Fault = Callable[[FakeOllama, BaseHTTPRequestHandler, dict[str, Any]], object]
FAULTS: dict[str, Fault] = {
    "!busy": _busy,
    "!drip": _drip,
    "!huge": _huge,
    "!long": lambda _fake, handler, _body: send_json(handler, {"error": {"message": "too long"}}, status=400),
    "!garbage": lambda _fake, handler, _body: send_text(handler, 200, b"<html>"),
    "!redirect": lambda _fake, handler, _body: send_headers(
        handler, 307, {"Location": "http://elsewhere.invalid/v1/chat/completions", "Content-Length": "0"}
    ),
}
