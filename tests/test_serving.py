"""Real servers of the real nano: what is known to bite, each as a test."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import httpx
import pytest

from punie_build import asking, blas, layout
from punie_build.adapters import Base
from punie_build.bases import locate
from punie_build.checks import NoCall
from punie_build.children import Child
from punie_build.errors import ModelError, ServerError
from punie_build.serving import HOST, Served, Server, serve
from punie_build.suites import Case, Suite

NANO = Served(model=layout.nano())


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return blas.environment(tmp_path_factory.mktemp("project"))


def test_a_server_is_ready_when_it_has_answered_and_gone_when_the_block_ends(tmp_path, env):
    async def go() -> tuple[int, str]:
        async with serve(NANO, tmp_path / "server.log", env) as server:
            case = Case(id="a", category="c", prompt="What is the capital of France?", checks=(NoCall(),))
            suite = Suite(case=(case,), system="")
            answers = await asking.ask(
                server, suite, decode=asking.decoder(NANO.model), max_tokens=20, concurrency=1, tick=lambda _: None
            )
            assert answers[0].error is None
            assert answers[0].raw
            assert server.url.startswith(f"http://{HOST}:")
            first, again = await asking.canaries(server), await asking.canaries(server)
            assert [[t for t, _ in said] for said in first] == [[t for t, _ in said] for said in again]
            # a request the server cannot serve is an error, never a wrong answer, and the next one is answered
            broken = Suite(case=(Case(id="b", category="c", messages=(), checks=(NoCall(),)),), system="")
            [error] = await asking.ask(
                server, broken, decode=asking.decoder(NANO.model), max_tokens=5, concurrency=1, tick=lambda _: None
            )
            assert "the server answered" in str(error.error)
            [fine] = await asking.ask(
                server, suite, decode=asking.decoder(NANO.model), max_tokens=5, concurrency=1, tick=lambda _: None
            )
            assert fine.error is None
            return server.child.process.pid, server.url

    pid, url = asyncio.run(go())
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    assert not Path(f"/proc/{pid}").exists()


def test_a_port_in_use_is_said_and_nobody_else_is_asked(tmp_path, env):
    async def go(port: int) -> None:
        async with serve(NANO, tmp_path / "server.log", env, port=port):
            raise AssertionError("ready on a port that is not ours")

    with socket.socket() as stranger:
        stranger.bind((HOST, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} is in use by another program"):
            asyncio.run(asyncio.wait_for(go(port), 120))


def test_a_folder_that_is_no_model_is_said(tmp_path, env):
    with pytest.raises(
        ModelError, match=r"models/x: no model there, config.json, tokenizer.json, \*.safetensors missing"
    ):
        locate(tmp_path, Base(path="models/x"))
    broken = tmp_path / "broken"
    shutil.copytree(layout.nano(), broken, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (broken / "model.safetensors").write_bytes(b"not weights")

    async def go() -> None:
        async with serve(Served(model=broken), tmp_path / "server.log", env):
            raise AssertionError("ready without a model")

    with pytest.raises(ServerError, match=r"cannot be served|model server"):
        asyncio.run(asyncio.wait_for(go(), 120))


def test_a_server_that_dies_leaves_errors_not_wrong_answers(tmp_path, env):
    suite = Suite(
        case=tuple(Case(id=f"c{k}", category="c", prompt="Hello", checks=(NoCall(),)) for k in range(4)), system=""
    )

    async def go() -> list:
        async with serve(NANO, tmp_path / "server.log", env) as server:
            server.child.process.kill()
            server.child.process.wait()
            return await asking.ask(
                server, suite, decode=asking.decoder(NANO.model), max_tokens=5, concurrency=2, tick=lambda _: None
            )

    answers = asyncio.run(go())
    assert [answer.error for answer in answers] == ["the server had died"] * 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": 3, "finish_reason": "stop", "logprobs": {"content": []}}]}',
    ],
)
def test_garbage_is_an_error(tmp_path, body):
    """A server that speaks HTTP and answers nonsense, on a real socket."""

    async def go() -> list:
        async def talk(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()

        stranger = await asyncio.start_server(talk, HOST, 0)
        port = stranger.sockets[0].getsockname()[1]
        suite = Suite(case=(Case(id="c", category="c", prompt="Hello", checks=(NoCall(),)),), system="")
        with Child("http.server", ["--bind", HOST, "0"], tmp_path / "x.log") as child:  # any process that lives
            server = Server(url=f"http://{HOST}:{port}", child=child)
            try:
                return await asking.ask(server, suite, decode=str, max_tokens=5, concurrency=1, tick=lambda _: None)
            finally:
                stranger.close()

    [answer] = asyncio.run(go())
    assert answer.error
