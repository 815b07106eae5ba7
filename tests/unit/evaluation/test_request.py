"""What is sent to a server, and what never is."""

from __future__ import annotations

import pytest

from punie_build.evaluation import request
from punie_build.evaluation.spec import Asking, Sampling

HELLO = [{"role": "user", "content": "hello"}]
GOOD = request.body(HELLO, max_tokens=5)
VOCABULARY = 100


def test_a_question_says_everything_and_names_the_one_model_that_has_the_adapter():
    assert GOOD == {
        "model": "default_model",
        "messages": HELLO,
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "logprobs": True,
    }
    warm = Sampling(temperature=0.5, top_k=9, repetition_penalty=1.1, stop=("END",))
    full = request.body(HELLO, max_tokens=5, sampling=warm, tools=[{"x": 1}], template={"think": False}, seed=3)
    assert (
        full | {"seed": 3, "stop": ["END"], "repetition_penalty": 1.1, "chat_template_kwargs": {"think": False}} == full
    )
    assert request.objections(GOOD, VOCABULARY) == request.objections(full, VOCABULARY) == []


@pytest.mark.parametrize(
    ("change", "word"),
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
def test_what_a_server_dies_of_is_held_back(change, word):
    [line] = request.objections(GOOD | change, VOCABULARY)
    assert line.startswith(f"{word}: ")
    assert request.objections(GOOD | {"logit_bias": {"99": 1.0}, "top_k": 99}, VOCABULARY) == []


def test_seeds_come_from_case_and_epoch_and_go_with_sampling_only():
    warm = Asking(arm="a", suite="s", epochs=2, sampling=Sampling(temperature=1.0))
    cold = Asking(arm="a", suite="s")
    seeds = [request.of(warm, case, epoch, HELLO, [])["seed"] for case in "ab" for epoch in range(2)]
    assert len(set(seeds)) == 4
    assert seeds == [request.of(warm, case, epoch, HELLO, [])["seed"] for case in "ab" for epoch in range(2)]
    assert "seed" not in request.of(cold, "a", 0, HELLO, [])


def test_a_question_is_known_by_all_it_says_and_by_its_epoch():
    keys = {request.key(body, 0) for body in (GOOD, GOOD | {"max_tokens": 6}, GOOD | {"tools": [{}]})}
    assert len(keys | {request.key(GOOD, 1)}) == 4
    assert request.key(dict(reversed(GOOD.items())), 0) == request.key(GOOD, 0)
