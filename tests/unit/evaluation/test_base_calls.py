"""The calls of bases whose server has no parser are read from the text, and those that a server dropped are noticed."""

from __future__ import annotations

import json
import shutil
from random import Random

import msgspec
import pytest

from punie_build.data.call_formats import call_reader
from punie_build.evaluation import base_calls
from punie_build.evaluation.checks.union import NoCall
from punie_build.evaluation.completion import Completion, to_answer
from punie_build.evaluation.conversation import Conversation
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Case, Suite
from punie_build.models.tokenizer import load_tokenizer
from punie_build.storage import paths
from tests.support.call_families import CALL_FAMILIES
from tests.unit.data.test_call_formats import TOOLS, generated

ARGUMENTS = {"text": "a.py", "count": 3}
HOSTILE = (
    "{",
    "]",
    ")",
    "'",
    '"',
    "\\d",
    "\\ud800",
    "{1}",
    "b'x'",
    "1e999",
    "{[]: 1}",
    "=...",
    "1j",
    "[" * 400,
    "<",
    "\0",
    "NaN",
)
UNSERVED = [family for family in CALL_FAMILIES if not call_reader(CALL_FAMILIES[family].template, ()).served]
SERVED = [family for family in CALL_FAMILIES if family not in UNSERVED]


def completed(family, raw, reasoning=""):
    """Return the answer to a case, as an eval has it, of a base that generates `raw`."""
    reader = call_reader(CALL_FAMILIES[family].template, ())
    completion = Completion(token_ids=[], logprobs=[], content=raw, reasoning=reasoning)
    completion = base_calls.with_calls(completion, raw, reader, TOOLS)
    return to_answer("case", raw, completion, reader=reader)


@pytest.mark.parametrize("family", UNSERVED)
def test_a_call_that_the_server_leaves_in_the_text_is_read(family):
    answer = completed(family, generated(family, [ARGUMENTS]))
    assert [(call.name, call.arguments) for call in answer.calls] == [("look", ARGUMENTS)]
    assert (answer.malformed, answer.content) == (False, "")


@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_half_a_call_is_malformed(family):
    raw = generated(family, [ARGUMENTS])
    answer = completed(family, raw[: raw.index("look") + 7])
    assert (answer.malformed, answer.calls) == (True, ())


@pytest.mark.parametrize("family", SERVED)
def test_a_call_that_the_server_dropped_is_malformed(family):
    assert completed(family, generated(family, [ARGUMENTS])).malformed


@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_a_call_within_a_thought_is_none(family):
    call = generated(family, [ARGUMENTS])
    answer = completed(family, f"<think>Shall I {call}? No.</think>Blue.", f"Shall I {call}? No.")
    assert (answer.malformed, answer.calls) == (False, ())


def test_the_words_of_gpt_oss_are_those_of_its_final_channel():
    raw = "<|channel|>analysis<|message|>Hm, blue.<|end|><|start|>assistant<|channel|>final<|message|>Blue.<|return|>"
    assert completed("gpt-oss", raw).content == "Blue."


def test_words_and_thoughts_beside_a_call_of_gpt_oss_are_told_apart():
    thought, words = "<|channel|>analysis<|message|>Hm.<|end|>", "<|channel|>commentary<|message|>I look.<|end|>"
    call = "<|start|>assistant<|channel|>commentary to=functions.look <|constrain|>json<|message|>{}<|call|>"
    answer = completed("gpt-oss", f"{thought}<|start|>assistant{words}{call}")
    assert (answer.content, [call.name for call in answer.calls], answer.malformed) == ("I look.", ["look"], False)


@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_a_mutilated_call_never_ends_an_eval(family):
    """Characters are replaced, removed and doubled: each answer can be scored and written."""
    raw, random = generated(family, [ARGUMENTS | {"deep": {"a": [1, "x"]}}]), Random(family)
    for _ in range(60):
        start, length = random.randrange(len(raw)), random.randrange(9)
        text = raw[:start] + random.choice(HOSTILE) * random.randrange(3) + raw[start + length :]
        answer = completed(family, text)
        assert json.loads(msgspec.json.encode(answer))["raw"] == text


def test_a_conversation_continues_after_a_call_that_was_read():
    case = Case(id="a", category="c", prompt="look", results={"look": "blue"}, checks=(NoCall(),))
    raw, spec = generated("Llama 3", [ARGUMENTS]), GenerationSpec(arm="fake", suite="s", max_tokens=20)
    reader = call_reader(CALL_FAMILIES["Llama 3"].template, ())
    conversation = Conversation(spec, Suite(cases=(case,), system=""), case, 0, lambda _: raw, reader)
    assert conversation.next_request()
    conversation.add(Completion(token_ids=[], logprobs=[], content=raw))
    _, turn, result = conversation.next_request()["messages"]
    assert json.loads(turn["tool_calls"][0]["function"]["arguments"]) == ARGUMENTS
    assert (turn["content"], result["content"]) == ("", "blue")


def test_what_the_server_cannot_do_is_known_before_it_starts(tmp_path):
    nano = base_calls.reader_of(paths.nano())
    assert nano.served == load_tokenizer(paths.nano()).has_tool_calling
    assert base_calls.unserved(nano, "base") is None
    base = tmp_path / "base"
    shutil.copytree(paths.nano(), base)
    (base / "chat_template.jinja").write_text(CALL_FAMILIES["Llama 3"].template)
    assert base_calls.reader_of(base).served  # the tokenizer of nano states its parser
    config = json.loads((base / "tokenizer_config.json").read_text())
    del config["tool_parser_type"]
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    assert "no parser" in str(base_calls.unserved(base_calls.reader_of(base), "base"))
    assert base_calls.reader_of(tmp_path).served  # without weights: the process that loads them reports it


def test_a_completion_without_calls_stays_as_it_is():
    reader = call_reader(CALL_FAMILIES["Jamba"].template, ())
    completion = Completion(token_ids=[], logprobs=[], content="Blue.")
    assert base_calls.with_calls(completion, "Blue.", reader, None) == completion
