"""A conversation continues with the canned results of tool calls, and ends with one answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from punie_build.evaluation.checks.union import NoCall
from punie_build.evaluation.completion import Completion, to_answer
from punie_build.evaluation.conversation import Conversation
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import MAX_TURNS, Case, Suite

SPEC = GenerationSpec(arm="fake", suite="s", max_tokens=20)
CALL = Completion(token_ids=[], logprobs=[], calls=[("look", '{"at": "sky"}')], finish="tool_calls")
TEXT = Completion(token_ids=[], logprobs=[], content="blue")


def replay(results: dict, *completions: Completion) -> tuple[Conversation, list[dict]]:
    """A conversation after these completions, and the messages of its last request."""
    case = Case(id="a", category="c", prompt="look", results=results, checks=(NoCall(),))
    conversation = Conversation(SPEC, Suite(cases=(case,), system=""), case, 0, lambda _: "raw")
    for completion in completions:
        request = conversation.next_request()
        assert request is not None
        conversation.add(completion)
    return conversation, request["messages"]


def test_tool_results_continue_a_conversation():
    conversation, messages = replay({"look": ("gray", "blue")}, CALL, CALL, TEXT)
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["gray", "blue"]
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]
    assert conversation.next_request() is None
    answer = conversation.answer
    assert (answer.content, answer.turns, answer.raw, answer.finish) == ("blue", 3, "raw\n\nraw\n\nraw", "stop")
    assert [call.turn for call in answer.calls] == [0, 1]


def test_a_call_without_a_result_ends_a_conversation():
    assert replay({}, CALL)[0].answer.finish == "tool_calls"
    assert replay({"other": "x"}, CALL)[0].answer.turns == 1
    malformed = Completion(token_ids=[], logprobs=[], calls=[("look", "{")], finish="tool_calls")
    assert replay({"look": "gray"}, malformed)[0].answer.malformed


def test_the_number_of_turns_is_limited():
    answer = replay({"look": "gray"}, *[CALL] * MAX_TURNS)[0].answer
    assert (answer.turns, answer.finish) == (MAX_TURNS, "turns")


def test_the_thought_before_a_call_reaches_the_template_again():
    thinking = structs.replace(CALL, reasoning="The sky is above.")
    _, messages = replay({"look": "blue"}, thinking, TEXT)
    assert messages[1]["reasoning_content"] == messages[1]["thinking"] == "The sky is above."
    assert "reasoning_content" not in replay({"look": "blue"}, CALL, TEXT)[1][1]


def test_thoughts_have_tokens_of_their_own():
    case = Case(id="a", category="c", prompt="look", checks=(NoCall(),), max_tokens=5)
    spec = structs.replace(SPEC, max_thought_tokens=30)
    conversation = Conversation(spec, Suite(cases=(case,), system=""), case, 0, lambda _: "raw")
    assert conversation.next_request()["max_tokens"] == 35
    conversation.add(Completion(token_ids=[], logprobs=[], reasoning="I still th", finish="length"))
    assert conversation.ends_in_thought
    for raw, ends in (("<think>hm", True), ("[THINK]hm", True), ("", False), ("  ", False), ("hm", False)):
        conversation = Conversation(spec, Suite(cases=(case,), system=""), case, 0, lambda _, raw=raw: raw)
        conversation.add(Completion(token_ids=[], logprobs=[], content=raw, finish="length"))
        assert conversation.ends_in_thought == ends


def generate(request: dict, thought: int, answer: int) -> Completion:
    """Complete as a model that thinks `thought` letters, a token each, and answers with so many."""
    whole = list("(" + "t" * thought + ")" + "a" * answer)
    tokens = whole[: request["max_tokens"]]
    text = "".join(tokens).replace("(", "<think>").replace(")", "</think>")
    reasoning, _, content = text.removeprefix("<think>").partition("</think>")
    finish = "stop" if len(tokens) == len(whole) else "length"
    ids = [ord(token) for token in tokens]
    return Completion(token_ids=ids, logprobs=[0.0] * len(ids), content=content, reasoning=reasoning, finish=finish)


def decode(completion: Completion) -> str:
    return "".join(map(chr, completion.token_ids)).replace("(", "<think>").replace(")", "</think>")


@given(thought=st.integers(0, 40), answer=st.integers(0, 20), budget=st.integers(0, 40), own=st.integers(1, 12))
def test_a_thought_takes_no_token_of_the_answer(thought, answer, budget, own):
    """Whatever the model thinks: if it stops thinking, the answer has its own tokens, no less and no more."""
    case = Case(id="a", category="c", prompt="look", checks=(NoCall(),))
    spec = structs.replace(SPEC, max_tokens=own, max_thought_tokens=budget)
    conversation = Conversation(spec, Suite(cases=(case,), system=""), case, 0, decode)
    requests = []
    while request := conversation.next_request():
        requests.append(request["max_tokens"])
        conversation.add(generate(request, thought, answer))
    assert len(requests) <= 2
    if thought + 2 < own + budget:  # the thought ends, and something of the answer is there
        shown = len(conversation.answer.content)
        assert shown == min(answer, own) or (answer == own + 1 == shown)
        assert not conversation.ends_in_thought or not answer
    else:
        assert conversation.answer.content == ""
        assert conversation.ends_in_thought == (thought + 2 > own + budget or bool(answer))


def test_a_call_within_a_thought_is_none():
    call = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
    for raw in (f"<think>Shall I {call}? No.</think>blue", f"Shall I {call}? No.</think>blue"):
        reasoning = f"Shall I {call}? No."
        assert not to_answer("a", raw, structs.replace(TEXT, reasoning=reasoning)).malformed
        assert not to_answer("a", raw, TEXT).malformed
    assert to_answer("a", call, TEXT).malformed
