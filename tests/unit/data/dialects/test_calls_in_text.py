from __future__ import annotations

import json

import pytest

from punie_build.data.dialects.normalize import detect, to_canonical
from tests.support.call_cases import CALLS
from tests.support.chat_rows import (
    FENCE,
    GREP,
    HERMES,
    HI,
    ONE,
    READ,
    XML,
    Record,
    answered,
    assistant,
    result,
    system,
    tool,
    user,
    with_calls,
)


@pytest.mark.parametrize(
    ("text", "dialect", "remaining", "calls"), [row[1:] for row in CALLS], ids=[f"{row[2]}: {row[0]}" for row in CALLS]
)
def test_calls_in_text_are_parsed(text, dialect, remaining, calls):
    record = answered(text)
    assert detect(record) == dialect
    assert to_canonical(record) == to_canonical(record, dialect) == with_calls(remaining, *calls)


FENCED_LIKE = '```json\n{"name": "a", "version": "1"}\n```'
TEXTS = {
    "a tag in backticks": "Qwen writes `<tool_call>` and `</tool_call>` around it.",
    "a whole call in backticks": "Write `<tool_call>{...}</tool_call>` there.",
    "a call in a block": f"```xml\n{HERMES}\n```",
    "a call in a block of four": f"````\n```\n{XML}\n```\n````",
    "a tag in a sentence": "The <tool_call> tag opens a call.",
    "a function tag in a sentence": "std <function=x> is a tag.",
    "glaive's tag in backticks": "`<functioncall>` is glaive's.",
    "JSON that is no call": FENCED_LIKE,
    "JSON with arguments that is no call": '```json\n{"name": "a b c", "arguments": {}}\n```',
    "a list of arguments": '```json\n{"name": "a", "arguments": [1]}\n```',
    "an example call with words after": f"Like this:\n{FENCE}\nIt names the tool.",
    "a broken example with words after": '```json\n{"name": "read", "arguments": {...}}\n```\nand so on.',
    "JSON in another block": '```python\n{"name": "read", "arguments": {"path": "a"}}\n```',
    "broken JSON": "```json\n{a: 1}\n```",
    "JSON of nothing": "```json\n[]\n```",
    "a block that never closes": "```json\n{",
    "backticks": "``` `` ` ```` arguments",
    "end of text": "Done.<|endoftext|>",
    "labels": "FUNCTION RESPONSE: 1\nUSER: 2",
    "empty": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_without_calls_is_unchanged(text):
    record = answered(text)
    assert to_canonical(record) is record
    assert detect(record) == "messages"


def test_the_position_of_fenced_json_decides_whether_it_is_a_call():
    text = f"Like this:\n{FENCE}"
    thanks = answered(text, user("Thanks."))
    assert to_canonical(thanks) is thanks  # no result, and a message follows
    with_result = to_canonical(answered(f"{text}\nWait.", user("Tool result: 1")))
    assert with_result["messages"][1:] == [assistant("Like this:\n\nWait.", ONE), result("1")]
    assert "tool_calls" in to_canonical(thanks | {"tools": [READ]})["messages"][1]  # declared
    other = answered(text) | {"tools": [GREP]}
    assert to_canonical(other) is other


# --- results

TWO = f"{HERMES}\n{HERMES}"
TWO_CALLS = [user("Look"), assistant("", ONE, ONE)]
RESULTS: list[tuple[str, list[Record], list[Record]]] = [
    ("a turn each", [user("Tool result: A"), user("Tool result: B")], [result("A"), result("B", 2)]),
    (
        "one turn, two marks",
        [user("<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>")],
        [result("A"), result("B", 2)],
    ),
    ("one turn, two labels", [user("Tool result: A\n\nTool result: B\n")], [result("A"), result("B\n", 2)]),
    ("none", [], []),
    ("the user goes on", [user("Never mind.")], [user("Never mind.")]),
    (
        "words after",
        [user("<tool_response>A</tool_response><tool_response>\n\nB \n</tool_response>\nAnd now?")],
        [result("A"), result("\nB ", 2), user("And now?")],
    ),
    (
        "tool turns",
        [{"role": "tool", "content": "A"}, {"role": "tool", "content": "Tool result: B"}],
        [result("A"), result("Tool result: B", 2)],
    ),
    (
        "one tool turn",
        [{"role": "tool", "content": "<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>"}],
        [result("A"), result("B", 2)],
    ),
    ("ids in another order", [result("B", 2), {"role": "tool", "content": "A"}], [result("B", 2), result("A")]),
    ("other words for it", [user("FUNCTION RESPONSE: A"), user("Tool Output:\nB")], [result("A"), result("B", 2)]),
    (
        "white space is the result's",
        [user("Tool result:  M a\n"), user("Tool result: ")],
        [result(" M a\n"), result("", 2)],
    ),
]


@pytest.mark.parametrize(("turns_after", "expected"), [row[1:] for row in RESULTS], ids=[row[0] for row in RESULTS])
def test_results_are_assigned_to_calls(turns_after, expected):
    assert to_canonical(answered(TWO, *turns_after))["messages"] == [*TWO_CALLS, *expected]


def test_a_label_within_a_result_belongs_to_the_result():
    text = "a\nTool result: b"
    assert to_canonical(answered(HERMES, user(f"Tool result: {text}")))["messages"][2] == result(text)


def test_a_result_must_follow_a_call():
    record = {
        "messages": [
            user("Tool result: what is that?"),
            assistant("Words."),
            user("<tool_response>x</tool_response>"),
            assistant("?"),
        ]
    }
    assert to_canonical(record) is record


# --- declarations

CODER = """S

# Tools

You have access to the following functions:

<tools>
<function>
<name>grep</name>
<description>grep it.</description>
<parameters>
<parameter>
<name>pattern</name>
<type>string</type>
<description>The pattern.</description>
</parameter>
<parameter>
<name>limit</name>
<type>integer</type>
<description>The limit.</description>
</parameter>
<required>["pattern", "limit"]</required>
</parameters>
</function>
</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
</function>
</tool_call>

<IMPORTANT>
Reminder
</IMPORTANT>"""
GREPPED = (
    "<tool_call>\n<function=grep>\n<parameter=pattern>\n1\n</parameter>\n<parameter=limit>\n1\n"
    "</parameter>\n</function>\n</tool_call>"
)


def test_the_prompt_of_qwen3_coder_declares_types():
    canonical = to_canonical({"messages": [system(CODER), user("Look"), assistant(GREPPED)]})
    assert canonical == {
        "messages": [system("S"), *with_calls("", ("grep", {"pattern": "1", "limit": 1}))["messages"]],
        "tools": [GREP],
    }


TYPED = [
    ("integer", "3", 3),
    ("number", "1.5", 1.5),
    ("boolean", "True", True),
    ("boolean", "false", False),
    ("array", '["a", 1]', ["a", 1]),
    ("object", '{"a": {"b": 1}}', {"a": {"b": 1}}),
    ("string", "3", "3"),
    (["integer", "null"], "None", None),
    (["string", "null"], "null", "null"),
    ("int", "3", "3"),
]


@pytest.mark.parametrize(("kind", "text", "value"), TYPED)
def test_parameters_have_their_declared_types(kind, text, value):
    record = answered(f"<tool_call><function=f><parameter=p>\n{text}\n</parameter></function></tool_call>") | {
        "tools": [tool("f", p=kind)]
    }
    assert to_canonical(record)["messages"] == with_calls("", ("f", {"p": value}))["messages"]


def test_a_prompt_of_declarations_is_removed_and_equal_tools_are_merged():
    prompt = system(f"<tools>{json.dumps(READ)}</tools>")
    assert to_canonical({"messages": [prompt, *HI], "tools": [READ]}) == {"messages": HI, "tools": [READ]}
    prose = {"messages": [system("Use <tools>hammers</tools> and <tools></tools>."), *HI]}
    assert to_canonical(prose) is prose
