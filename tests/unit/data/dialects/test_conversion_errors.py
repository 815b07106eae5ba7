from __future__ import annotations

import json
import re
from typing import Any

import pytest

from punie_build.data.dialects.normalize import to_canonical
from tests.support.chat_rows import HERMES, HI, READ, answered, assistant, system, tool, user

TWO = f"{HERMES}\n{HERMES}"
ERRORS: list[tuple[str, Any, str]] = [
    ("no record", [1], "list, not an object - write one JSON object"),
    ("no dialect", {"first": "a", "second": "b"}, "no dialect fits the keys first, second - use messages"),
    ("no dialect, with all the advice", {"first": "a"}, "or name their roles with `columns`"),
    ("no keys", {}, "the keys none"),
    ("messages as text", {"messages": "a", "text": "a"}, "messages is str, not a list"),
    ("no messages", {"messages": []}, "no messages"),
    ("a message that is text", {"messages": [user("a"), "b"]}, "message 2: str, not an object"),
    (
        "a role",
        {"messages": [user("a"), {"role": "narrator", "content": "b"}]},
        "message 2: unknown role 'narrator' - use system",
    ),
    ("no role", {"conversations": [{"from": "human", "value": "a"}, {"value": "b"}]}, "message 2: unknown role None"),
    (
        "no content",
        {"messages": [user("a"), {"role": "assistant", "words": "b"}]},
        "message 2 (assistant): no content, other keys: words",
    ),
    (
        "an image",
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "message 1 (user): content is list and not only text",
    ),
    ("a number", {"messages": [{"role": "user", "content": 1}]}, "message 1 (user): content is int"),
    (
        "a call without a name",
        {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"function": {}}]}]},
        "message 2 (assistant): a call without a name",
    ),
    (
        "arguments that are no JSON",
        {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]},
        "message 2 (assistant): Expecting property name",
    ),
    (
        "arguments that are a list",
        {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}]},
        "arguments are list, not an object",
    ),
    (
        "a result before any call",
        {"messages": [user("a"), {"role": "tool", "content": "b"}]},
        "message 2 (tool): results: 1, calls without a result: 0",
    ),
    (
        "a third result",
        answered(TWO, *[{"role": "tool", "content": "b"}] * 3),
        "message 5 (tool): results: 1, calls without a result: 0",
    ),
    (
        "three results at once",
        answered(TWO, user("<tool_response>" + "</tool_response><tool_response>" * 2 + "</tool_response>")),
        "message 3 (user): results: 3, calls without a result: 2",
    ),
    (
        "one result for two calls",
        answered(TWO, user("Tool result: b"), assistant("c")),
        "message 4 (assistant): fewer results than calls",
    ),
    (
        "one result for two calls at the end",
        answered(TWO, user("Tool result: b")),
        "message 3 (user): fewer results than calls",
    ),
    (
        "a result that never closes",
        answered(HERMES, user("<tool_response>\nb")),
        "message 3 (user): <tool_response> is never closed",
    ),
    ("tools that are none", {"messages": HI, "tools": "[{}]"}, "tools: a tool without a name"),
    ("tools that are broken", {"messages": HI, "tools": "["}, "tools: Expecting value"),
    ("tools twice", {"messages": HI, "tools": [READ], "functions": [READ]}, "tools and functions both declare"),
    (
        "a tool declared in two ways",
        {"messages": [system(f"<tools>{json.dumps(tool('read'))}</tools>"), *HI], "tools": [READ]},
        "message 1 (system): tool 'read' is declared twice",
    ),
    (
        "tools in the prompt that are broken",
        {"messages": [system('<tools>{"name": </tools>'), *HI]},
        "message 1 (system): Expecting value",
    ),
    (
        "hermes: no JSON",
        answered("<tool_call>\nread a\n</tool_call>"),
        "message 2 (assistant): <tool_call> holds neither JSON nor",
    ),
    ("hermes: nothing", answered("<tool_call>\n"), "holds neither JSON nor"),
    (
        "hermes: broken JSON",
        answered('<tool_call>{"name": "read", "arguments": {"path": }}</tool_call>'),
        "message 2 (assistant): <tool_call> cannot be parsed: Expecting value, near:",
    ),
    ("hermes: no name", answered('<tool_call>{"arguments": {}}</tool_call>'), "<tool_call> cannot be parsed: no name"),
    (
        "hermes: more keys",
        answered('<tool_call>{"name": "a", "arguments": {}, "why": 1}</tool_call>'),
        "unknown keys in a call: why",
    ),
    (
        "hermes: a key twice",
        answered('<tool_call>{"name": "a", "arguments": {"a": 1, "a": 2}}</tool_call>'),
        "duplicate key",
    ),
    (
        "hermes: not a number",
        answered('<tool_call>{"name": "a", "arguments": {"a": NaN}}</tool_call>'),
        "NaN is not valid JSON",
    ),
    (
        "hermes: half a pair",
        answered('<tool_call>{"name": "a", "arguments": {"a": "\\ud800"}}</tool_call>'),
        "half a surrogate pair",
    ),
    (
        "hermes: never closed",
        answered('<tool_call>{"name": "read", "arguments": {"path": "a"}}'),
        "<tool_call> is never closed",
    ),
    ("hermes: deep", answered("<tool_call>" + "[" * 100_000 + "</tool_call>"), "nested too deep"),
    (
        "xml: never closed",
        answered("<tool_call><function=read><parameter=path>a</parameter></function>"),
        "<function=...> is never closed",
    ),
    (
        "xml: no name",
        answered("<tool_call><function=><parameter=path>a</parameter></function></tool_call>"),
        "<function=...> has no name",
    ),
    (
        "xml: parameter never closed",
        answered("<tool_call><function=read><parameter=path>a</function></tool_call>"),
        "<function=read> cannot be parsed: text outside parameters: '<parameter=path>a'",
    ),
    (
        "xml: parameter twice",
        answered("<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>"),
        "duplicate parameter 'a'",
    ),
    (
        "xml: words for parameters",
        answered("<tool_call><function=f>path a</function></tool_call>"),
        "no parameters in 'path a'",
    ),
    (
        "xml: a value that holds all closing tags",
        answered(
            "<tool_call><function=f><parameter=a>x</parameter></function></tool_call></parameter></funct"
            "ion></tool_call>"
        ),
        "</parameter> is left over beside a call",
    ),
    (
        "xml: another type",
        answered("<tool_call><function=f><parameter=p>x</parameter></function></tool_call>")
        | {"tools": [tool("f", p="integer")]},
        "parameter 'p' is declared as integer, but is 'x'",
    ),
    (
        "xml: a number for a flag",
        answered("<tool_call><function=f><parameter=p>1</parameter></function></tool_call>")
        | {"tools": [tool("f", p="boolean")]},
        "is declared as boolean",
    ),
    (
        "xml: a flag for a number",
        answered("<tool_call><function=f><parameter=p>true</parameter></function></tool_call>")
        | {"tools": [tool("f", p="integer")]},
        "is declared as integer",
    ),
    ("code: none", answered("<tool_call><function=execute_code>\n</function></tool_call>"), "no parameters"),
    (
        "fence: a brace is missing",
        answered('```json\n{"name": "read", "arguments": {"path": "a"}\n```'),
        "message 2 (assistant): the fenced JSON is a call that cannot be parsed: Expecting ',' delimiter",
    ),
    (
        "fence: more keys",
        answered('```json\n{"name": "read", "arguments": {}, "id": 1}\n```'),
        "unknown keys in a call: id",
    ),
    ("glaive: no JSON", answered("<functioncall> read"), "<functioncall> holds no JSON"),
    (
        "glaive: broken arguments",
        answered('<functioncall> {"name": "a", "arguments": \'{"b": }\'}'),
        "<functioncall> cannot be parsed",
    ),
    ("glaive: no label", {"chat": "Hi"}, "chat starts with 'Hi', not with a label"),
    ("glaive: nothing", {"chat": " "}, "chat has no 'USER:'"),
    (
        "sharegpt: a call that is words",
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "read a"}]},
        "message 2 (function_call): Expecting value",
    ),
    ("alpaca: nothing asked", {"instruction": "", "input": "", "output": "a"}, "instruction and input are empty"),
    ("alpaca: output", {"instruction": "a", "output": ["b"]}, "output is list, not text"),
    (
        "alpaca: history",
        {"instruction": "a", "output": "b", "history": ["a", "b"]},
        "history is not a list of [question, answer] pairs",
    ),
    ("a pair with context", {"question": "a", "answer": "b", "context": "c"}, "'context' beside question and answer"),
    (
        "ChatML: no end",
        {"text": "<|im_start|>user\na\n<|im_start|>assistant\nb"},
        "message 1 (user): no <|im_end|> at its end",
    ),
    ("ChatML: words before", {"text": "a<|im_start|>user\na<|im_end|>"}, "text before the first <|im_start|>: 'a'"),
    (
        "ChatML: words between",
        {"text": "<|im_start|>user\na<|im_end|>b<|im_start|>user\na<|im_end|>"},
        "message 1 (user): no <|im_end|> at its end",
    ),
    ("ChatML: a role", {"text": "<|im_start|>critic\na<|im_end|>"}, "message 1: unknown role 'critic'"),
    ("another template", {"text": "[INST] a [/INST] b"}, "text holds [INST] of another chat template"),
]


@pytest.mark.parametrize(("record", "reason"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_an_error_names_the_message_and_a_fix(record, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        to_canonical(record)
    assert " - " in str(caught.value)
    assert "\n" not in str(caught.value)
