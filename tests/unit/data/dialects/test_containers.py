from __future__ import annotations

import json
from copy import deepcopy

import pytest

from punie_build.data.dialects.normalize import NAMES, detect, to_canonical
from punie_build.data.example import parse
from tests.support.call_cases import CALLS
from tests.support.chat_rows import HERMES, HI, LOOK, READ, XML, answered, assistant, result, turns, user
from tests.support.container_cases import CONTAINERS


@pytest.mark.parametrize(
    ("record", "dialect", "expected"), [row[1:] for row in CONTAINERS], ids=[row[0] for row in CONTAINERS]
)
def test_a_container_is_detected_and_converted(record, dialect, expected):
    before = deepcopy(record)
    assert detect(record) == dialect
    assert to_canonical(record) == expected
    assert to_canonical(record, dialect) == expected or dialect == "messages"
    assert record == before
    assert parse(json.dumps(to_canonical(record)).encode())


def test_every_dialect_has_a_case():
    assert {row[2] for row in CONTAINERS} | {row[2] for row in CALLS} == set(NAMES)


def test_a_named_dialect_restricts_the_input():
    assert to_canonical(answered(HERMES), "messages") == answered(HERMES)
    assert to_canonical(answered(HERMES), "qwen3-coder") == answered(HERMES)
    assert to_canonical(answered(XML), "code-mode") == answered(XML)
    broken = answered("<tool_call>\nno JSON\n</tool_call>")
    assert to_canonical(broken, "fenced-json") == broken
    assert to_canonical({"text": "[INST] a"}, "text") == {"messages": [assistant("[INST] a")]}
    with pytest.raises(ValueError, match="no dialect 'openai' - use auto or one of messages"):
        to_canonical(answered(HERMES), "openai")
    with pytest.raises(ValueError, match="not alpaca: the keys are those of messages - use dialect 'messages'"):
        to_canonical(answered(HERMES), "alpaca")
    with pytest.raises(ValueError, match="not hermes"):
        to_canonical({"chat": "USER: a"}, "hermes")


def test_detect_accepts_calls_that_cannot_be_parsed():
    assert detect(answered("<tool_call>\nno JSON\n</tool_call>")) == "messages"
    with pytest.raises(ValueError, match="no dialect fits"):
        detect({"a": 1})


CANONICAL = {
    "words": {"messages": HI, "id": 1, "category": "words", "nested": {"messages": []}},
    "calls": {"messages": LOOK, "tools": [READ]},
    "no content beside calls": {"messages": [user("Look"), {"role": "assistant", "tool_calls": LOOK[1]["tool_calls"]}]},
    "null content beside calls": {"messages": [user("Look"), LOOK[1] | {"content": None}]},
    "null keys": {"messages": [message | {"name": None} for message in HI], "tools": None},
    "code": {"messages": turns("a", "```python\nprint(arguments)\n```"), "tools": []},
    "markup in a user's words": {"messages": turns(HERMES, "That is a call.")},
    "markup beside calls": {"messages": [user("Look"), LOOK[1] | {"content": f"As in {HERMES}"}]},
    "markup in a result": {"messages": [*LOOK[:2], result(f"<tool_response>{HERMES}</tool_response>")]},
    "half a conversation": {"messages": [user("a")]},
}


@pytest.mark.parametrize("record", CANONICAL.values(), ids=CANONICAL)
def test_a_canonical_record_is_returned_unchanged(record):
    before = deepcopy(record)
    assert to_canonical(record) is record
    assert detect(record) == "messages"
    assert record == before


@pytest.mark.parametrize("record", [row[1] for row in CONTAINERS] + [answered(row[1]) for row in CALLS])
def test_the_canonical_form_is_stable(record):
    canonical = to_canonical(record)
    assert to_canonical(canonical) is canonical
