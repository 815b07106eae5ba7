"""Serving: a real `mlx_lm.server` for one arm.

    async with serve(Served(model=folder, adapter=folder), log, env) as server:
        ... server.url ...

What is known to bite (docs/why.md): the adapter answers only to the model name `default_model`; `/health` says yes
before the model is loaded; a server whose port is taken stays alive, silent, while its clients talk to a stranger. So: our
own free port on loopback, ready only when our own server's log says it has the port and it has answered, and always
`default_model`. A bad model leaves it alive with 503, so what is not a whole answer ends it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from msgspec import Struct

from punie_build.errors import ServerError
from punie_build.evaluation import request
from punie_build.evaluation.spec import Sampling, Serving
from punie_build.runtime import versions
from punie_build.runtime.child import Child

HOST = "127.0.0.1"
START_SECONDS = 300.0
TRIES = 3
BROKEN = {"0.31.3": "it never serves an adapter: every answer would be the base's"}  # versions of mlx-lm, and why


class Served(Struct, frozen=True, kw_only=True):
    """What to serve: a model folder, the adapter on it if any, and how. `sampling` is for people who ask without saying how: a
    question of ours says it itself. `port` is taken or it fails; None: any free one. `program` is what serves."""

    model: Path
    adapter: Path | None = None
    draft: Path | None = None
    serving: Serving = Serving()
    sampling: Sampling = Sampling()
    max_tokens: int = 512
    port: int | None = None
    program: tuple[str, ...] = ("mlx_lm", "server")

    def arguments(self, port: int) -> list[str]:
        how, plain = self.serving, Serving()
        words = ["--model", self.model, "--host", HOST, "--port", port, "--max-tokens", self.max_tokens]
        words += ["--adapter-path", self.adapter] if self.adapter else []
        words += ["--draft-model", self.draft, "--num-draft-tokens", how.draft_tokens] if self.draft else []
        for name in ("prompt_cache_size", "prompt_cache_bytes", "kv_bits", "kv_group_size", "quantized_kv_start"):
            if (value := getattr(how, name)) != getattr(plain, name):
                words += [f"--{name.replace('_', '-')}", value]
        if how.chat_template_args:
            words += ["--chat-template-args", json.dumps(how.chat_template_args)]
        for name, option in (("temperature", "temp"), ("top_p", "top-p"), ("top_k", "top-k"), ("min_p", "min-p")):
            if (value := getattr(self.sampling, name)) != getattr(Sampling(), name):
                words += [f"--{option}", value]
        return [*self.program[1:], *map(str, words)]


class Server(Struct, frozen=True, kw_only=True):
    """A server that answers. `url` ends before `/v1`."""

    url: str
    child: Child

    def dropped(self) -> int:
        """How many tool calls it could not read so far, by its log."""
        return self.child.text().count("ailed to parse tool call")

    def stop(self) -> None:
        """End it, whatever it does. Twice is as good as once."""
        self.child.__exit__(None, None, None)


class PortTakenError(ServerError):
    """Somebody took the port between our looking and the server's binding."""


def refuse(version: str | None = None) -> None:
    """Raise ServerError if this mlx-lm cannot be trusted to serve."""
    version = version or versions.version("mlx-lm")
    if version in BROKEN:
        raise ServerError(f"mlx-lm {version}: {BROKEN[version]} - pip install 'mlx-lm>=0.32'")


@asynccontextmanager
async def serve(served: Served, log: Path, env: Mapping[str, str]) -> AsyncIterator[Server]:
    """Start, wait until it has answered, and end it whatever happens. Raises ServerError."""
    server = await start(served, log, env)
    try:
        yield server
    finally:
        server.stop()


async def start(served: Served, log: Path, env: Mapping[str, str]) -> Server:
    """A server that has answered; whoever asked for it stops it. It dies with this process. Raises ServerError."""
    refuse()
    for attempt in range(1, TRIES + 1):
        chosen = served.port or free_port()
        child = Child(served.program[0], served.arguments(chosen), log, env).__enter__()
        server = Server(url=f"http://{HOST}:{chosen}", child=child)
        try:
            await _ready(server, chosen)
        except PortTakenError:
            server.stop()
            if served.port or attempt == TRIES:
                raise
        except BaseException:
            server.stop()
            raise
        else:
            return server
    raise AssertionError("every try ends above")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _ready(server: Server, port: int) -> None:
    """Wait until the server has its port, which its log says, and has then answered with a token."""
    import asyncio  # 30 ms that a build which serves nothing need not pay

    import httpx

    deadline = time.monotonic() + START_SECONDS
    while "Starting httpd" not in server.child.text():
        check(server, port)
        if time.monotonic() > deadline:
            raise ServerError(
                f"the model server did not start in {START_SECONDS:.0f} s - its log:\n{server.child.tail()}"
            )
        await asyncio.sleep(0.05)
    hello = request.build([{"role": "user", "content": "hi"}], max_tokens=1)
    try:
        async with httpx.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
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


class Warm:
    """The last server used, kept for whoever asks the same weights next: the cells of a grid, or another suite.

    One at a time: two would hold two models in memory. Whoever finds it lent out starts one of their own.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: tuple[str, Server] | None = None

    @contextmanager
    def lend(self, name: str, served: Served, log: Path, env: Mapping[str, str]) -> Iterator[Server]:
        """A server that answers; `name` says what all its answers depend on. Raises ServerError."""
        import asyncio  # 30 ms that a build which serves nothing need not pay

        with self._guard:
            found, self._idle = self._idle, None
        if found and (found[0] != name or not found[1].child.running):
            found[1].stop()
            found = None
        server = found[1] if found else asyncio.run(start(served, log, env))
        try:
            yield server
        except BaseException:
            server.stop()
            raise
        with self._guard:
            spare, self._idle = self._idle, (name, server)
        if spare:
            spare[1].stop()

    def rest(self) -> None:
        """Give the memory back, before something else needs it."""
        with self._guard:
            found, self._idle = self._idle, None
        if found:
            found[1].stop()


WARM = Warm()  # the one that all evals of a build share


def release() -> None:
    """Stop the shared server, so that another process can use the memory of its model."""
    WARM.rest()
