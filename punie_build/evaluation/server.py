"""Start and stop a server for one model under test: `mlx_lm.server`, in `server_process`.

    async with serve(ServedModel(model=folder, adapter=folder), log, env) as server:
        ... server.url ...

Known traps (docs/why.md): the server uses the adapter only for the model name `default_model`; `/health` succeeds
before the model is loaded; a server that cannot bind its port keeps running, while its clients talk to the other
program there; a model that cannot be loaded leaves it running with status 503. So a server gets a free port of its own
on loopback, and it is ready only when its own log says that it has bound the port and it has completed a request.
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
from punie_build.models.verify import draft_problem
from punie_build.runtime import versions
from punie_build.runtime.child import Child

HOST = "127.0.0.1"
START_SECONDS = 300.0
START_ATTEMPTS = 3
BROKEN_VERSIONS = {"0.31.3": "it never serves an adapter: the base would give every answer"}  # of mlx-lm -> the reason


class ServedModel(Struct, frozen=True, kw_only=True):
    """A model to serve: its folder, the adapter on it if any, and the options of its server.

    `sampling` is the default for clients that state no setting; requests of an eval state all of them. `port` is used
    or the start fails; None chooses a free one. `canary_file`: the cache of completions that the server writes the
    canaries of its weights to. `stamps`: those of the files to load, by folder. `program` is the module that serves,
    and its arguments.
    """

    model: Path
    adapter: Path | None = None
    draft: Path | None = None
    serving: Serving = Serving()
    sampling: Sampling = Sampling()
    max_tokens: int = 512
    port: int | None = None
    canary_file: Path | None = None
    stamps: dict[str, str] = {}
    program: tuple[str, ...] = ("punie_build.evaluation.server_process",)

    def arguments(self, port: int) -> list[str]:
        """Return the command-line arguments of the server, without options that have their default value."""
        serving, default = self.serving, Serving()
        arguments = ["--model", self.model, "--host", HOST, "--port", port, "--max-tokens", self.max_tokens]
        arguments += ["--adapter-path", self.adapter] if self.adapter else []
        arguments += ["--draft-model", self.draft, "--num-draft-tokens", serving.draft_tokens] if self.draft else []
        for name in ("prompt_cache_size", "prompt_cache_bytes", "kv_bits", "kv_group_size", "quantized_kv_start"):
            if (value := getattr(serving, name)) != getattr(default, name):
                arguments += [f"--{name.replace('_', '-')}", value]
        if serving.chat_template_args:
            arguments += ["--chat-template-args", json.dumps(serving.chat_template_args)]
        for name, option in (("temperature", "temp"), ("top_p", "top-p"), ("top_k", "top-k"), ("min_p", "min-p")):
            if (value := getattr(self.sampling, name)) != getattr(Sampling(), name):
                arguments += [f"--{option}", value]
        arguments += ["--canaries", self.canary_file] if self.canary_file else []
        arguments += ["--stamps", json.dumps(self.stamps)] if self.stamps else []
        return [*self.program[1:], *map(str, arguments)]


class Server(Struct, frozen=True, kw_only=True):
    """A running server that has completed a request. `url` ends before `/v1`."""

    url: str
    child: Child

    def unparsed_tool_calls(self) -> int:
        """Return how many tool calls the server could not parse so far, by its log."""
        return self.child.text().count("ailed to parse tool call")

    def stop(self) -> None:
        """End the process. A second call has no effect."""
        self.child.__exit__(None, None, None)


class PortTakenError(ServerError):
    """Another program has bound the port before the server could."""


def check_version(version: str | None = None) -> None:
    """Raise ServerError if this version of mlx-lm, by default the installed one, gives wrong answers."""
    version = version or versions.version("mlx-lm")
    if version in BROKEN_VERSIONS:
        raise ServerError(f"mlx-lm {version}: {BROKEN_VERSIONS[version]} - pip install 'mlx-lm>=0.32'")


@asynccontextmanager
async def serve(served: ServedModel, log: Path, env: Mapping[str, str]) -> AsyncIterator[Server]:
    """Start a server, yield it when it is ready, and stop it at the end of the block. Raise ServerError."""
    server = await start(served, log, env)
    try:
        yield server
    finally:
        server.stop()


async def start(served: ServedModel, log: Path, env: Mapping[str, str]) -> Server:
    """Return a server that is ready. The caller stops it; it also ends with this process. Raise ServerError."""
    check_version()
    if served.draft and (problem := draft_problem(served.model, served.draft)):
        raise ServerError(f"draft {served.draft.name}: {problem}")
    for attempt in range(1, START_ATTEMPTS + 1):
        port = served.port or free_port()
        child = Child(served.program[0], served.arguments(port), log, env).__enter__()
        server = Server(url=f"http://{HOST}:{port}", child=child)
        try:
            await _wait_until_ready(server, port)
        except PortTakenError:
            server.stop()
            if served.port or attempt == START_ATTEMPTS:
                raise
        except BaseException:
            server.stop()
            raise
        else:
            return server
    raise AssertionError("every attempt returns or raises")


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _wait_until_ready(server: Server, port: int) -> None:
    """Wait until the log says that the server has bound its port and it has generated a token. Raise ServerError."""
    import asyncio  # takes 30 ms, which a build without a server saves

    import httpx

    deadline = time.monotonic() + START_SECONDS
    while "Starting httpd" not in server.child.text():
        check_running(server, port)
        if time.monotonic() > deadline:
            raise ServerError(
                f"the model server did not start in {START_SECONDS:.0f} s - its log:\n{server.child.tail()}"
            )
        await asyncio.sleep(0.05)
    hello = request.build([{"role": "user", "content": "hi"}], max_tokens=1)
    try:
        async with httpx.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
            response = await client.post(f"{server.url}/v1/chat/completions", json=hello)
    except httpx.HTTPError as error:
        check_running(server, port)
        raise ServerError(
            f"the model server does not answer: {type(error).__name__} - its log:\n{server.child.tail()}"
        ) from None
    check_running(server, port)
    if response.status_code != 200:
        raise ServerError(
            f"the model cannot be served: {response.text[:200]} - the end of its log:\n{server.child.tail()}"
        )


def check_running(server: Server, port: int) -> None:
    """Raise ServerError if the server has ended or could not bind its port."""
    if "Address already in use" in server.child.text():
        raise PortTakenError(f"port {port} is in use by another program - stop it, or let punie-build choose a port")
    if not server.child.running:
        raise ServerError(server.child.failure("the model server"))


class WarmServer:
    """The server that was used last, which keeps running for the next user of the same weights: a cell of a grid, a
    suite.

    At most one server is idle, because two hold two models in memory. A caller that finds it lent out starts another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: tuple[str, Server] | None = None

    @contextmanager
    def lend(self, name: str, served: ServedModel, log: Path, env: Mapping[str, str]) -> Iterator[Server]:
        """Yield a server that is ready. `name` stands for all settings that decide its answers. A server that is to
        write canaries is a new one. Raise ServerError."""
        import asyncio  # takes 30 ms, which a build without a server saves

        with self._lock:
            idle, self._idle = self._idle, None
        if idle and (idle[0] != name or not idle[1].child.running or served.canary_file):
            idle[1].stop()
            idle = None
        server = idle[1] if idle else asyncio.run(start(served, log, env))
        try:
            yield server
        except BaseException:
            server.stop()
            raise
        with self._lock:
            surplus, self._idle = self._idle, (name, server)
        if surplus:
            surplus[1].stop()

    def release(self) -> None:
        """Stop the idle server, so that another process can use its memory."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle:
            idle[1].stop()


WARM = WarmServer()  # the one that all evals of a build share


def release() -> None:
    """Stop the shared server, so that another process can use the memory of its model."""
    WARM.release()
