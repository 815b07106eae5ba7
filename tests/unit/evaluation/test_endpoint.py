"""Endpoint arms against a stand-in of Ollama on loopback: answers, faults, limits, and the key, which no file has."""

from __future__ import annotations

import json

import pytest
from msgspec import convert

from punie_build.errors import ServerError, UseError
from punie_build.evaluation import endpoint, interview
from punie_build.evaluation.arm_spec import Endpoint
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.endpoint import EndpointClient
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.spec import GenerationSpec, Sampling
from punie_build.evaluation.suite import Case, Suite
from punie_build.schema.validation import mistakes
from punie_build.testing.fake_ollama import FakeOllama

KEY = "sk-secret-0123456789"
TOOL = {"name": "read_file", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}


def suite_of(*prompts: str, **fields: object) -> Suite:
    cases = [{"id": f"c{n}", "prompt": text, "checks": [{"type": "no-call"}]} for n, text in enumerate(prompts)]
    return Suite(cases=convert(cases, tuple[Case, ...]), tools=({"type": "function", "function": TOOL},), **fields)


def echo(request):
    return str(request["messages"][-1]["content"])


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks prompts of a fake and returns (answers, requests sent)."""

    def ask(fake: FakeOllama, *prompts: str, model: str = "tiny", suite: Suite | None = None, **fields):
        timeout = fields.pop("timeout", 5.0)
        spec = GenerationSpec(arm="x", suite="s", max_tokens=20, timeout=timeout, **fields.pop("settings", {}))
        arm = Endpoint(url=fields.pop("url", fake.url), model=model, **fields)
        cache = ResponseCache(tmp_path / "cache.jsonl")
        client = EndpointClient(arm, spec, cache)
        return interview.ask(
            spec, suite or suite_of(*prompts), cache, client.send, endpoint.text_of, endpoint.MARKED_CALLS, print
        )

    return ask


def test_an_endpoint_is_asked_once_and_only_what_it_understands_is_sent(ask):
    with FakeOllama({"tiny": echo}) as fake:
        answers, sent = ask(fake, "one", "two")
        assert [(answer.content, answer.error) for answer in answers] == [("one", None), ("two", None)]
        assert (sent, ask(fake, "one", "two")[1]) == (2, 0)
        body = fake.requests[0]
        assert {"model", "messages", "max_tokens", "temperature", "tools", "stream"} == set(body)
        assert body["model"] == "tiny"
        ask(fake, "one", settings={"sampling": Sampling(temperature=0.5, top_p=0.9, min_p=0.1)})
        assert {"top_p": 0.9, "min_p": 0.1, "temperature": 0.5}.items() <= fake.requests[-1].items()
        assert "Authorization" not in fake.headers


@pytest.mark.parametrize(
    ("message", "calls", "malformed"),
    [
        ({"tool_calls": [{"function": {"name": "read_file", "arguments": '{"path": "a"}'}}]}, 1, False),
        ({"content": None, "tool_calls": [{"function": {"name": "read_file", "arguments": {"path": "a"}}}]}, 1, False),
        ({"tool_calls": [{"function": {"name": "read_file", "arguments": "{"}}]}, 0, True),
        ({"content": '<tool_call>{"name": "read_file", "arguments": {}}</tool_call>'}, 0, True),
        ({"content": '[TOOL_CALLS][{"name": "read_file", "arguments": {}}]'}, 0, True),
        ({"content": '<|python_tag|>{"name": "read_file", "parameters": {}}'}, 0, True),
        ({"content": '{"name": "read_file", "arguments": {}}'}, 0, False),
        ({"content": "<think>read_file?</think>No.", "reasoning": "hm"}, 0, False),
    ],
)
def test_calls_of_an_endpoint_are_read_and_dropped_ones_are_noticed(ask, message, calls, malformed):
    with FakeOllama({"tiny": lambda _: message}) as fake:
        [answer], _ = ask(fake, "x")
    assert (len(answer.calls), answer.malformed) == (calls, malformed)
    assert "think" not in answer.content


@pytest.mark.parametrize(("usage", "count"), [({"completion_tokens": 3}, 3), ({"completion_tokens": True}, None),
                                              ([1], None), (None, None)])  # fmt: skip
def test_the_number_of_tokens_is_optional(usage, count):
    content = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": None}]
    reply = {"choices": [{"message": {"content": content}}], "usage": usage}
    completion = endpoint.parse_reply(json.dumps(reply).encode())
    assert (completion.content, completion.n_tokens) == ("a", count)


def test_a_tool_result_continues_the_conversation(ask):
    def model(request):
        if request["messages"][-1]["role"] == "tool":
            return f"It says {request['messages'][-1]['content']}."
        return {"tool_calls": [{"function": {"name": "read_file", "arguments": '{"path": "a"}'}}]}

    suite = suite_of("Read a.")
    case = convert({"id": "c", "prompt": "Read a.", "results": {"read_file": "hi"}, "checks": [{"type": "no-call"}]},
                   Case)  # fmt: skip
    with FakeOllama({"tiny": model}) as fake:
        [answer], sent = ask(fake, suite=Suite(cases=(case,), tools=suite.tools))
    assert (answer.content, answer.turns, sent) == ("It says hi.", 2, 2)


@pytest.mark.slow
def test_faults_of_one_request_are_errors_of_one_answer(ask):
    with FakeOllama({"tiny": echo}) as fake:
        answers, _ = ask(fake, "fine", "!busy", "!long", "!garbage", "!huge", "!drip", timeout=2.0)
    texts = [answer.error or answer.content for answer in answers]
    assert texts[:3] == ["fine", "!busy", "the endpoint answered 400: too long"]
    assert texts[3].startswith("no answer in 2 s, last: malformed response") or "malformed" in texts[3]
    assert texts[4] == "the endpoint sent more than 32 MB"
    assert texts[5] == "no answer in 2 s", "a response that drips has one deadline"


@pytest.mark.parametrize(
    ("prompt", "fields", "problem"),
    [
        ("!redirect", {}, "redirects to http://elsewhere.invalid"),
        ("x", {"model": "big"}, 'model "big" not found, try pulling it - correct `url` or `model`'),
        ("x", {"url": "http://127.0.0.1:9"}, "no connection"),
    ],
)
def test_an_endpoint_that_refuses_all_is_one_sentence(ask, prompt, fields, problem):
    with FakeOllama({"tiny": echo}) as fake, pytest.raises(ServerError) as error:
        ask(fake, prompt, prompt + " again", **fields)
    assert problem in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_key_is_sent_and_never_written(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    with FakeOllama({"tiny": echo}, key=KEY) as fake:
        assert ask(fake, "hello", api_key_env="THE_KEY")[0][0].content == "hello"
        assert fake.headers["Authorization"] == f"Bearer {KEY}"
        monkeypatch.setenv("THE_KEY", KEY + "x")
        with pytest.raises(ServerError, match="correct the key in THE_KEY") as error:
            ask(fake, "other", api_key_env="THE_KEY")
        monkeypatch.delenv("THE_KEY")
        with pytest.raises(UseError, match="the environment has no THE_KEY"):
            ask(fake, "other", api_key_env="THE_KEY")
        with pytest.raises(ServerError, match="name the variable of its key"):
            ask(fake, "other")
    assert KEY not in str(error.value)
    assert KEY.encode() not in (tmp_path / "cache.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"url": "localhost:11434", "model": "m"}, "write the base URL"),
        ({"url": "http://user:pass@host/v1", "model": "m"}, "name the variable of the key"),
        ({"url": "http://host/v1?key=a", "model": "m"}, "name the variable of the key"),
        ({"url": "http://host:99999", "model": "m"}, "write the base URL"),
        ({"url": "http://host", "model": "m", "api_key_env": KEY}, "never write the key itself"),
    ],
)
def test_a_url_or_a_key_in_the_wrong_place_is_a_mistake(table, problem):
    [line] = mistakes(table, Endpoint, "endpoint.x")
    assert problem in line


def test_base_urls_are_those_of_clients():
    urls = {
        "http://localhost:11434": "http://localhost:11434/v1",
        "http://localhost:11434/v1/": "http://localhost:11434/v1",
        "https://host/api/v2": "https://host/api/v2",
        "https://host/v1/chat/completions": "https://host/v1",
    }
    for url, base in urls.items():
        assert Endpoint(url=url, model="m").base_url == base
    assert Answer(case="x").error is None
