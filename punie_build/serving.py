"""Serving: a real `mlx_lm.server` for one arm, as an async context manager.

    async with serve(Served(model=folder, adapter=folder), log, env) as server:
        ... server.url ...

What is known to bite (docs/why.md): the adapter answers only to the model name `default_model`; `/health` says yes
before the model is loaded; a server whose port is taken stays alive, silent, while its clients talk to a stranger. So: our
own free port on loopback, ready only when our own server's log says it has the port and it has answered, and always
`default_model`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from punie_build.children import Child
from punie_build.errors import ServerError

HOST = "127.0.0.1"
MODEL = "default_model"  # any other name is served without the adapter
START_SECONDS = 300.0
TRIES = 3


class Served(Struct, frozen=True, kw_only=True):
    """What to serve: a model folder, and the adapter on it if any."""

    model: Path
    adapter: Path | None = None

    def arguments(self, port: int) -> list[str]:
        adapter = ["--adapter-path", str(self.adapter)] if self.adapter else []
        return ["server", "--model", str(self.model), *adapter, "--host", HOST, "--port", str(port)]


class Server(Struct, frozen=True, kw_only=True):
    """A server that answers. `url` ends before `/v1`."""

    url: str
    child: Child


class PortTakenError(ServerError):
    """Somebody took the port between our looking and the server's binding."""


@asynccontextmanager
async def serve(served: Served, log: Path, env: Mapping[str, str], port: int | None = None) -> AsyncIterator[Server]:
    """Start, wait until it has answered, and end it whatever happens. Raises ServerError."""
    for attempt in range(1, TRIES + 1):
        chosen = port or free_port()
        with Child("mlx_lm", served.arguments(chosen), log, env) as child:
            server = Server(url=f"http://{HOST}:{chosen}", child=child)
            try:
                await _ready(server, chosen)
            except PortTakenError:
                if port or attempt == TRIES:
                    raise
                continue
            yield server
            return


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _ready(server: Server, port: int) -> None:
    """Wait until the server has its port, which its log says, and has then answered with a token."""
    deadline = time.monotonic() + START_SECONDS
    while "Starting httpd" not in server.child.text():
        check(server, port)
        if time.monotonic() > deadline:
            raise ServerError(
                f"the model server did not start in {START_SECONDS:.0f} s - its log:\n{server.child.tail()}"
            )
        await asyncio.sleep(0.05)
    async with httpx.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
        hello = request([{"role": "user", "content": "hi"}], max_tokens=1)
        try:
            answer = await client.post(f"{server.url}/v1/chat/completions", json=hello)
        except httpx.HTTPError as error:
            check(server, port)
            raise ServerError(
                f"the model server does not answer: {type(error).__name__} - its log:\n{server.child.tail()}"
            ) from None
    check(server, port)
    if answer.status_code != 200:
        raise ServerError(
            f"the model cannot be served: {answer.text[:200]} - the end of its log:\n{server.child.tail()}"
        )


def check(server: Server, port: int) -> None:
    """Raise ServerError if the server has died or never got its port."""
    if "Address already in use" in server.child.text():
        raise PortTakenError(f"port {port} is in use by another program - stop it, or let punie-build choose a port")
    if not server.child.running:
        raise ServerError(server.child.failure("the model server"))


def request(
    messages: list[dict[str, Any]], *, max_tokens: int, tools: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The body of a question: greedy, with the ids of all tokens written, and no `seed`, which would end batching."""
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": messages,
        "temperature": 0.0,
        "max_tokens": max_tokens,
        "logprobs": True,
    }
    return body | ({"tools": tools} if tools else {})
