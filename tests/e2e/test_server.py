"""Real servers of the real nano: what is known to bite, each as a test."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import struct
from pathlib import Path

import httpx
import msgspec
import pytest

from punie_build.errors import IdentityError, ModelError, ServerError
from punie_build.evaluation import canary, client, request, runner, suite_file
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.conversation import read, reply
from punie_build.evaluation.response_cache import Answered
from punie_build.evaluation.runner import Job
from punie_build.evaluation.server import (
    HOST,
    Served,
    Server,
    Warm,
    refuse,
    serve,
)
from punie_build.evaluation.spec import GenerationSpec, Sampling, Serving, SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.models.locate import locate
from punie_build.models.spec import Base
from punie_build.runtime import blas
from punie_build.storage import paths

NANO = Served(model=paths.nano())
SPEC = GenerationSpec(arm="other", suite="s", max_tokens=40)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def env(root):
    return blas.environment(root)


@pytest.fixture(scope="module")
def suite(root) -> Suite:
    whole, _ = suite_file.read_suite(SuiteFile(embedded="tool-calling"), root, "suite")
    return msgspec.structs.replace(whole, case=whole.case[:96:8])


@pytest.fixture(scope="module")
def other(root) -> Served:
    """nano with an adapter that nobody trained: it says other things, which is all that is asked of it here."""
    folder = root / "adapters" / "other"
    folder.mkdir(parents=True)
    width = json.loads((paths.nano() / "config.json").read_text())["hidden_size"]
    name, rank = "model.layers.3.mlp.gate_proj", 2
    wide = json.loads((paths.nano() / "config.json").read_text())["intermediate_size"]
    tensors = {f"{name}.lora_a": (width, rank), f"{name}.lora_b": (rank, wide)}
    head, body = {}, b""
    for index, (key, shape) in enumerate(tensors.items()):
        values = [((7 * k + 3 * index) % 11 - 5) / 60 for k in range(shape[0] * shape[1])]
        head[key] = {"dtype": "F32", "shape": shape, "data_offsets": (len(body), len(body) + 4 * len(values))}
        body += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(head).encode()
    (folder / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    lora = {"rank": rank, "scale": 1.0, "dropout": 0.0, "keys": ["mlp.gate_proj"]}
    (folder / "adapter_config.json").write_text(
        json.dumps({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": lora})
    )
    return Served(model=paths.nano(), adapter=folder)


@pytest.fixture(scope="module")
def warm():
    held = Warm()
    yield held
    held.rest()


@pytest.fixture(scope="module")
def server(other, warm, env, root, suite):
    """The one server most of these tests share: of the job below, so that asking uses it too."""
    with warm.lend(job(root, other, suite).identity, other, root / "server.log", env) as server:
        yield server


def job(root: Path, served: Served, asked: Suite, **how) -> Job:
    spec = msgspec.structs.replace(SPEC, **how)
    return Job(root=root, served=served, spec=spec, suite=asked, weights="w", logs=root / "logs", say=lambda _: None)


def post(server: Server, body: dict) -> dict:
    done = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
    return done.raise_for_status().json()["choices"][0]


def answers(folder: Path) -> list[Answer]:
    return msgspec.json.Decoder(Answer).decode_lines((folder / "answers.jsonl").read_bytes())


def ask(work: Job, warm: Warm, out: Path) -> list[Answer]:
    out.mkdir()
    runner.answer(work, warm, out)
    return answers(out)


def test_the_first_trap_the_adapter_answers_to_one_name_only(server, other, root, suite):
    hello = request.build([{"role": "user", "content": canary.CANARY_PROMPTS[0]}], max_tokens=8)
    right = post(server, hello)["logprobs"]["content"]
    wrong = post(server, hello | {"model": str(other.model)})["logprobs"]["content"]
    assert right != wrong
    assert post(server, hello)["logprobs"]["content"] == right
    book = Answered(root / paths.answered("trap"))
    runner._witness(job(root, other, suite), book, {})
    arm, base = book.canaries
    said = [[(token["id"], token["logprob"]) for token in tokens] for tokens in (right, wrong)]
    assert canary.distance([said[0]], arm[:1]) < canary.TOLERANCE
    assert canary.distance([said[1]], base[:1]) < canary.TOLERANCE
    assert request.problems(hello | {"model": str(other.model)}) != []


def test_the_second_trap_a_call_that_cannot_be_read_is_no_silence(server, suite):
    torn = Sampling(stop=("arguments",))  # ends the call in its middle, without a mark of its end
    body = request.build(suite.conversation(suite.case[0]), max_tokens=60, tools=suite.declarations(), sampling=torn)
    before = server.dropped()
    said = reply(post(server, body))
    assert (said.content, said.calls, said.finish) == ("", [], "tool_calls")
    assert server.dropped() == before + 1
    answer = read("x", client.decoder(paths.nano())(said.ids), said)
    assert answer.malformed
    assert answer.raw.startswith("<tool_call>")
    assert score_answer(suite.case[0].checks, answer).failure == "malformed"


def test_the_third_trap_a_call_that_is_cut_off_is_no_silence(server, suite):
    body = request.build(suite.conversation(suite.case[0]), max_tokens=6, tools=suite.declarations())
    said = reply(post(server, body))
    assert (said.content, said.calls, said.finish) == ("", [], "length")
    answer = read("x", client.decoder(paths.nano())(said.ids), said)
    assert answer.raw.startswith("<tool_call>")
    assert score_answer(suite.case[0].checks, answer).failure in ("truncated", "malformed")


def test_a_batch_without_a_server_gives_the_same_answers_and_the_cells_of_a_grid_share_one_server(
    root, other, warm, suite, tmp_path
):
    served = ask(job(root, other, suite), warm, tmp_path / "served")
    running = warm._idle[1].child.process.pid
    cell = ask(job(root, other, suite, sampling=Sampling(repetition_penalty=1.5)), warm, tmp_path / "cell")
    assert warm._idle[1].child.process.pid == running
    assert cell != served
    batch = ask(job(root, other, suite, engine="batch"), Warm(), tmp_path / "batch")
    assert batch == served
    assert (tmp_path / "batch" / "proof.json").read_bytes() == (tmp_path / "served" / "proof.json").read_bytes()


def test_an_adapter_that_changes_nothing_is_found(root, other, suite, tmp_path):
    idle = tmp_path / "idle"
    shutil.copytree(other.adapter, idle)
    whole = (idle / "adapters.safetensors").read_bytes()
    head = struct.unpack("<Q", whole[:8])[0] + 8
    (idle / "adapters.safetensors").write_bytes(whole[:head] + bytes(len(whole) - head))
    served = Served(model=other.model, adapter=idle)
    with pytest.raises(IdentityError, match="other: the adapter changes nothing"):
        ask(msgspec.structs.replace(job(root, served, suite, engine="batch"), weights="idle"), Warm(), tmp_path / "out")


def test_a_server_is_gone_when_its_block_ends_and_a_dead_one_is_no_answer(tmp_path, env):
    async def go() -> Server:
        async with serve(NANO, tmp_path / "server.log", env) as server:
            assert server.url.startswith(f"http://{HOST}:")
            first, again = await client.canaries(server), await client.canaries(server)
            assert canary.distance(first, again) < canary.TOLERANCE
            broken = {"a": request.build([], max_tokens=5)}  # refused by the template, and the server goes on
            kept: dict = {}
            found = await client.ask(server, broken, kept.__setitem__, concurrency=1, patience=30)
            assert found.lost["a"].error.startswith("the server answered 404")
            assert not found.suspects
            good = {"b": request.build([{"role": "user", "content": "Hello"}], max_tokens=5)}
            assert await client.ask(server, good, kept.__setitem__, concurrency=1, patience=30) == client.Round({})
            assert list(kept) == ["b"]
            return server

    server = asyncio.run(go())
    server.stop()  # twice is as good as once
    assert not Path(f"/proc/{server.child.process.pid}").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")
    kept: dict = {}
    asked = {"c": request.build([{"role": "user", "content": "Hello"}], max_tokens=5)}
    assert asyncio.run(client.ask(server, asked, kept.__setitem__, concurrency=2, patience=5)) == client.Round({})
    assert kept == {}


def test_a_port_in_use_is_said_and_nobody_else_is_asked(tmp_path, env):
    async def go(port: int) -> None:
        async with serve(Served(model=NANO.model, port=port), tmp_path / "server.log", env):
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
    shutil.copytree(paths.nano(), broken, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (broken / "model.safetensors").write_bytes(b"not weights")

    async def go() -> None:
        async with serve(Served(model=broken), tmp_path / "server.log", env):
            raise AssertionError("ready without a model")

    with pytest.raises(ServerError, match=r"cannot be served|model server"):
        asyncio.run(asyncio.wait_for(go(), 120))


def test_a_version_that_never_serves_an_adapter_is_refused():
    with pytest.raises(ServerError, match=r"mlx-lm 0\.31\.3: it never serves an adapter.* - pip install"):
        refuse("0.31.3")
    refuse("0.32.2")


def test_a_server_is_told_what_is_not_as_usual():
    plain = ["server", "--model", "m", "--host", HOST, "--port", "7", "--max-tokens", "512"]
    assert Served(model=Path("m")).arguments(7) == plain
    odd = Served(
        model=Path("m"),
        adapter=Path("a"),
        draft=Path("d"),
        serving=Serving(chat_template_args={"think": False}, kv_bits=4, prompt_cache_bytes=9),
        sampling=Sampling(temperature=0.5, top_k=3),
    ).arguments(7)
    assert odd[: len(plain)] == plain
    told = dict(zip(odd[1::2], odd[2::2], strict=True))
    assert told["--adapter-path"] == "a"
    assert (told["--draft-model"], told["--num-draft-tokens"]) == ("d", "3")
    assert (told["--kv-bits"], told["--prompt-cache-bytes"]) == ("4", "9")
    assert told["--chat-template-args"] == '{"think": false}'
    assert (told["--temp"], told["--top-k"]) == ("0.5", "3")
