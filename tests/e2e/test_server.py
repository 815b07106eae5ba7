"""Real servers of the real base nano: each known trap of serving is a test."""

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

from punie_build.errors import ModelError, ServerError
from punie_build.evaluation import answer_files, canary, client, request, runner, suite_file
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.completion import parse_choice, to_answer
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.runner import EvalRun
from punie_build.evaluation.server import (
    HOST,
    ServedModel,
    Server,
    WarmServer,
    check_version,
    serve,
    start,
)
from punie_build.evaluation.spec import GenerationSpec, Sampling, Serving, SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.models.locate import locate
from punie_build.models.spec import Base
from punie_build.runtime import blas
from punie_build.storage import paths
from tests.support import tiny_bases

NANO = ServedModel(model=paths.nano())
SPEC = GenerationSpec(arm="other", suite="s", max_tokens=40)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def env(root):
    return blas.environment(root)


@pytest.fixture(scope="module")
def suite(root) -> Suite:
    suite, _ = suite_file.read_suite(SuiteFile(embedded="tool-calling"), root, "suite")
    return msgspec.structs.replace(suite, cases=suite.cases[:96:24])


@pytest.fixture(scope="module")
def adapted(root) -> ServedModel:
    """nano with an untrained adapter that changes its completions."""
    folder = root / "adapters" / "other"
    folder.mkdir(parents=True)
    config = json.loads((paths.nano() / "config.json").read_text())
    module, rank = "model.layers.3.mlp.gate_proj", 2
    shapes = {
        f"{module}.lora_a": (config["hidden_size"], rank),
        f"{module}.lora_b": (rank, config["intermediate_size"]),
    }
    header, body = {}, b""
    for index, (name, shape) in enumerate(shapes.items()):
        values = [((7 * k + 3 * index) % 11 - 5) / 60 for k in range(shape[0] * shape[1])]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": (len(body), len(body) + 4 * len(values))}
        body += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    (folder / "adapters.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    lora = {"rank": rank, "scale": 1.0, "dropout": 0.0, "keys": ["mlp.gate_proj"]}
    (folder / "adapter_config.json").write_text(
        json.dumps({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": lora})
    )
    return ServedModel(model=paths.nano(), adapter=folder)


@pytest.fixture(scope="module")
def warm():
    warm = WarmServer()
    yield warm
    warm.release()


@pytest.fixture(scope="module")
def server(adapted, warm, env, root, suite):
    """The server that most of these tests share; it has the name of their eval run, so that the runs use it too."""
    with warm.lend(eval_run(root, adapted, suite).cache_name, adapted, root / "server.log", env) as server:
        yield server


def eval_run(root: Path, served: ServedModel, suite: Suite, **settings) -> EvalRun:
    return EvalRun(
        root=root,
        served=served,
        spec=msgspec.structs.replace(SPEC, **settings),
        suite=suite,
        weights="w",
        logs=root / "logs",
        notify=lambda _: None,
    )


def post(server: Server, body: dict) -> dict:
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
    return response.raise_for_status().json()["choices"][0]


def collect(run: EvalRun, warm: WarmServer, out: Path) -> list[Answer]:
    out.mkdir()
    runner.collect_answers(run, warm, out)
    return answer_files.read_answers(out)


def test_a_server_that_loaded_other_files_than_those_of_the_digest_refuses(adapted, env, root):
    other = msgspec.structs.replace(adapted, stamps={str(adapted.adapter): "of other files"})
    with pytest.raises(ServerError, match="other: its files are not those whose digest was taken"):
        asyncio.run(start(other, root / "refusing.log", env))


@pytest.mark.nightly
def test_the_batch_engine_refuses_other_files_too(adapted, root, suite, tmp_path):
    run = eval_run(root, msgspec.structs.replace(adapted, stamps={str(adapted.adapter): "x"}), suite, engine="batch")
    error = runner.run_in_process(run, ResponseCache(tmp_path / "cache.jsonl"), {})
    assert "other: its files are not those whose digest was taken" in error


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_next", "kimi_linear"])
def test_a_hybrid_is_served_with_the_weights_that_were_loaded(name, root, suite, tmp_path):
    """Its caches hold a state beside keys and values; `collect` compares canaries of the server."""
    tiny_bases.write_base(tmp_path / "base", name)
    warm = WarmServer()
    try:
        run = eval_run(tmp_path, ServedModel(model=tmp_path / "base"), suite, max_tokens=6)
        answers = collect(run, warm, tmp_path / "out")
    finally:
        warm.release()
    assert {answer.case for answer in answers} == {case.id for case in suite.cases}


def test_trap_the_server_uses_the_adapter_for_one_model_name_only(server, adapted, root, suite):
    hello = request.build([{"role": "user", "content": canary.CANARY_PROMPTS[0]}], max_tokens=8)
    by_default_name = post(server, hello)["logprobs"]["content"]
    by_path = post(server, hello | {"model": str(adapted.model)})["logprobs"]["content"]
    assert by_default_name != by_path
    assert post(server, hello)["logprobs"]["content"] == by_default_name
    cache = ResponseCache(root / paths.responses("trap"))
    runner.run_in_process(eval_run(root, adapted, suite), cache, {})
    expected, base = cache.canaries
    first, second = ([(token["id"], token["logprob"]) for token in tokens] for tokens in (by_default_name, by_path))
    assert canary.distance([first], expected[:1]) < canary.TOLERANCE
    assert canary.distance([second], base[:1]) < canary.TOLERANCE
    assert request.problems(hello | {"model": str(adapted.model)}) != []


def test_trap_the_server_drops_a_tool_call_that_it_cannot_parse(server, suite):
    sampling = Sampling(stop=("arguments",))  # ends the tool call in its middle, without an end mark
    body = request.build(
        suite.messages(suite.cases[0]), max_tokens=60, tools=suite.tool_declarations(), sampling=sampling
    )
    before = server.unparsed_tool_calls()
    completion = parse_choice(post(server, body))
    assert (completion.content, completion.calls, completion.finish) == ("", [], "tool_calls")
    assert server.unparsed_tool_calls() == before + 1
    answer = to_answer("x", client.decoder(paths.nano())(completion.token_ids), completion)
    assert answer.malformed
    assert answer.raw.startswith("<tool_call>")
    assert score_answer(suite.cases[0].checks, answer).failure == "malformed"


def test_trap_the_server_drops_a_truncated_tool_call(server, suite):
    body = request.build(suite.messages(suite.cases[0]), max_tokens=6, tools=suite.tool_declarations())
    completion = parse_choice(post(server, body))
    assert (completion.content, completion.calls, completion.finish) == ("", [], "length")
    answer = to_answer("x", client.decoder(paths.nano())(completion.token_ids), completion)
    assert answer.raw.startswith("<tool_call>")
    assert score_answer(suite.cases[0].checks, answer).failure in ("truncated", "malformed")


def test_both_engines_give_equal_answers_and_grid_cells_share_a_server(root, adapted, warm, suite, tmp_path):
    served = collect(eval_run(root, adapted, suite), warm, tmp_path / "served")
    pid = warm._idle[1].child.process.pid
    cell = eval_run(root, adapted, suite, sampling=Sampling(repetition_penalty=1.5))
    assert collect(cell, warm, tmp_path / "cell") != served
    assert warm._idle[1].child.process.pid == pid
    batch = collect(eval_run(root, adapted, suite, engine="batch"), WarmServer(), tmp_path / "batch")
    assert batch == served
    assert (tmp_path / "batch" / "proof.json").read_bytes() == (tmp_path / "served" / "proof.json").read_bytes()


def test_an_adapter_without_effect_is_a_warning(root, adapted, suite, tmp_path):
    folder = tmp_path / "zero"
    shutil.copytree(adapted.adapter, folder)
    content = (folder / "adapters.safetensors").read_bytes()
    header_size = struct.unpack("<Q", content[:8])[0] + 8
    (folder / "adapters.safetensors").write_bytes(content[:header_size] + bytes(len(content) - header_size))
    run = eval_run(root, ServedModel(model=adapted.model, adapter=folder), suite, engine="batch")
    messages: list[str] = []
    collect(msgspec.structs.replace(run, weights="zero", notify=messages.append), WarmServer(), tmp_path / "out")
    assert "the adapter changes little: log-probabilities of the canary differ from those of the base" in messages[0]


def test_a_server_ends_with_its_block_and_then_answers_no_request(tmp_path, env):
    hello = request.build([{"role": "user", "content": "Hello"}], max_tokens=5)

    async def use_server() -> Server:
        async with serve(NANO, tmp_path / "server.log", env) as server:
            assert server.url.startswith(f"http://{HOST}:")
            first, second = await client.canary_completions(server), await client.canary_completions(server)
            assert canary.distance(first, second) < canary.TOLERANCE
            invalid = {"a": request.build([], max_tokens=5)}  # the chat template rejects it, and the server continues
            completions: dict = {}
            result = await client.send_all(server, invalid, completions.__setitem__, concurrency=1, timeout=30)
            assert result.failures["a"].error.startswith("the server answered 404")
            assert not result.in_flight
            result = await client.send_all(server, {"b": hello}, completions.__setitem__, concurrency=1, timeout=30)
            assert result == client.BatchResult({})
            assert list(completions) == ["b"]
            return server

    server = asyncio.run(use_server())
    server.stop()  # a second time
    assert not Path(f"/proc/{server.child.process.pid}").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")
    completions: dict = {}
    result = asyncio.run(client.send_all(server, {"c": hello}, completions.__setitem__, concurrency=2, timeout=5))
    assert result == client.BatchResult({})
    assert completions == {}


def test_a_port_in_use_is_an_error_and_its_program_receives_no_request(tmp_path, env):
    async def start(port: int) -> None:
        async with serve(ServedModel(model=NANO.model, port=port), tmp_path / "server.log", env):
            raise AssertionError("ready on a port of another program")

    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} is in use by another program"):
            asyncio.run(asyncio.wait_for(start(port), 120))


def test_a_folder_without_a_valid_model_is_an_error(tmp_path, env):
    with pytest.raises(
        ModelError, match=r"models/x: no model there, config.json, tokenizer.json, model\*.safetensors missing"
    ):
        locate(tmp_path, Base(path="models/x"))
    broken = tmp_path / "broken"
    shutil.copytree(paths.nano(), broken, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (broken / "model.safetensors").write_bytes(b"not weights")

    async def start() -> None:
        async with serve(ServedModel(model=broken), tmp_path / "server.log", env):
            raise AssertionError("ready without a model")

    with pytest.raises(ServerError, match=r"broken: mlx-lm cannot load this model"):
        asyncio.run(asyncio.wait_for(start(), 120))


def test_a_version_that_never_serves_an_adapter_is_rejected():
    with pytest.raises(ServerError, match=r"mlx-lm 0\.31\.3: it never serves an adapter.* - pip install"):
        check_version("0.31.3")
    check_version("0.32.2")


def test_server_arguments_omit_default_values():
    default = ["--model", "m", "--host", HOST, "--port", "7", "--max-tokens", "512"]
    assert ServedModel(model=Path("m")).arguments(7) == default
    arguments = ServedModel(
        model=Path("m"),
        adapter=Path("a"),
        draft=Path("d"),
        serving=Serving(chat_template_args={"think": False}, kv_bits=4, prompt_cache_bytes=9),
        sampling=Sampling(temperature=0.5, top_k=3),
    ).arguments(7)
    assert arguments[: len(default)] == default
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--adapter-path"] == "a"
    assert (options["--draft-model"], options["--num-draft-tokens"]) == ("d", "3")
    assert (options["--kv-bits"], options["--prompt-cache-bytes"]) == ("4", "9")
    assert options["--chat-template-args"] == '{"think": false}'
    assert (options["--temp"], options["--top-k"]) == ("0.5", "3")
