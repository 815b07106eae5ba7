"""The request of a case: its content, its digest in the cache, and the problems that keep it from being sent."""

from __future__ import annotations

import pytest

from punie_build.evaluation import request
from punie_build.evaluation.spec import GenerationSpec, Sampling, Serving
from punie_build.schema.spec import canonical

HELLO = [{"role": "user", "content": "hello"}]
MINIMAL = request.build(HELLO, max_tokens=5)
VOCABULARY = 100
GREEDY = GenerationSpec(arm="a", suite="s")
SAMPLED = GenerationSpec(
    arm="a",
    suite="s",
    max_tokens=9,
    epochs=2,
    sampling=Sampling(temperature=0.5, top_k=9, repetition_penalty=1.1, stop=("END",)),
    serving=Serving(chat_template_args={"think": False}),
)
LOOK = {"type": "function", "function": {"name": "look", "parameters": {}}}


def test_request_bodies_and_cache_keys_keep_their_bytes():
    """A changed byte makes every cached response useless: then raise `request.CACHE_VERSION`."""
    body = request.for_turn(GREEDY, "c1", 0, HELLO, [])
    assert canonical(body) == (
        b'{"logprobs":true,"max_tokens":256,"messages":[{"content":"hello","role":"user"}],"min_p":0.0,'
        b'"model":"default_model","temperature":0.0,"top_k":0,"top_p":1.0}'
    )
    assert request.cache_key(body, 0) == "02815bf9a350c0bd28d54ee10713a882da62ac79e7951138971ab3eb94c0c9ee"
    body = request.for_turn(SAMPLED, "c2", 1, HELLO, [LOOK])
    assert canonical(body) == (
        b'{"chat_template_kwargs":{"think":false},"logprobs":true,"max_tokens":9,'
        b'"messages":[{"content":"hello","role":"user"}],"min_p":0.0,"model":"default_model",'
        b'"repetition_context_size":20,"repetition_penalty":1.1,"seed":799912146,"stop":["END"],"temperature":0.5,'
        b'"tools":[{"function":{"name":"look","parameters":{}},"type":"function"}],"top_k":9,"top_p":1.0}'
    )
    assert request.cache_key(body, 1) == "cbd12c3a05dfaa1e6f3505f8364156a85c5ab0cf43851090753caecb83f15f88"


def test_a_request_states_every_setting_and_names_the_served_model():
    assert MINIMAL == {
        "model": "default_model",
        "messages": HELLO,
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "logprobs": True,
    }
    sampling = Sampling(temperature=0.5, top_k=9, repetition_penalty=1.1, stop=("END",))
    full = request.build(HELLO, max_tokens=5, sampling=sampling, tools=[{"x": 1}], template={"think": False}, seed=3)
    expected = {"seed": 3, "stop": ["END"], "repetition_penalty": 1.1, "chat_template_kwargs": {"think": False}}
    assert full | expected == full
    assert request.problems(MINIMAL, VOCABULARY) == request.problems(full, VOCABULARY) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": "END"}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"top_k": VOCABULARY}, "top_k"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"logit_bias": {str(VOCABULARY): 1.0}}, "logit_bias"),
        ({"logit_bias": {"x": 1.0}}, "logit_bias"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"model": "/some/model"}, "model"),
        ({"seed": 3}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_a_request_that_would_end_the_server_has_a_problem(change, field):
    [problem] = request.problems(MINIMAL | change, VOCABULARY)
    assert problem.startswith(f"{field}: ")
    assert request.problems(MINIMAL | {"logit_bias": {"99": 1.0}, "top_k": 99}, VOCABULARY) == []


def test_a_seed_depends_on_case_and_epoch_and_is_sent_with_sampling_only():
    seeds = [request.for_turn(SAMPLED, case, epoch, HELLO, [])["seed"] for case in "ab" for epoch in range(2)]
    assert len(set(seeds)) == 4
    assert seeds == [request.for_turn(SAMPLED, case, epoch, HELLO, [])["seed"] for case in "ab" for epoch in range(2)]
    assert "seed" not in request.for_turn(GREEDY, "a", 0, HELLO, [])


def test_a_cache_key_depends_on_all_settings_and_on_the_epoch():
    keys = {request.cache_key(body, 0) for body in (MINIMAL, MINIMAL | {"max_tokens": 6}, MINIMAL | {"tools": [{}]})}
    assert len(keys | {request.cache_key(MINIMAL, 1)}) == 4
    assert request.cache_key(dict(reversed(MINIMAL.items())), 0) == request.cache_key(MINIMAL, 0)


def test_one_request_at_a_time_is_generated_without_a_batch():
    greedy = request.build([{"role": "user", "content": "x"}], max_tokens=4)
    assert request.unbatched(greedy) == greedy | {"seed": 0}
    sampled = request.build([{"role": "user", "content": "x"}], max_tokens=4, sampling=Sampling(temperature=1), seed=7)
    assert request.unbatched(sampled) == sampled
    assert "seed" not in greedy, "the cache names the request as it was built"
