from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.dialects.normalize import NAMES, detect, to_canonical
from punie_build.data.example import parse

Record = dict[str, Any]


def tool(name: str, **types: str) -> Record:
    properties = {key: {"type": kind, "description": f"The {key}."} for key, kind in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(types)}
    return {"type": "function", "function": {"name": name, "description": f"{name} it.", "parameters": parameters}}


def user(text: str) -> Record:
    return {"role": "user", "content": text}


def assistant(text: str, *calls: tuple[str, dict[str, Any]], first: int = 1) -> Record:
    tool_calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, (name, arguments) in enumerate(calls, first)
    ]
    return {"role": "assistant", "content": text} | ({"tool_calls": tool_calls} if calls else {})


def result(text: str, number: int = 1) -> Record:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": text}


def system(text: str) -> Record:
    return {"role": "system", "content": text}


def turns(*texts: str) -> list[Record]:
    return [user(text) if index % 2 == 0 else assistant(text) for index, text in enumerate(texts)]


READ, GREP = tool("read", path="string"), tool("grep", pattern="string", limit="integer")
FUNCTION = json.dumps(READ["function"], indent=4)
HI = turns("Hi", "Hello.")
LOOK = [user("Look"), assistant("", ("read", {"path": "a"})), result("x = 1"), assistant("It is 1.")]


def answered(text: str, *after: Record) -> Record:
    """Return a record whose assistant answers with this text."""
    return {"messages": [user("Look"), {"role": "assistant", "content": text}, *after]}


def with_calls(text: str, *calls: tuple[str, dict[str, Any]]) -> Record:
    return {"messages": [user("Look"), assistant(text, *calls)]}


# --- containers: name, record, detected dialect, canonical form

CONTAINERS: list[tuple[str, Record, str, Record]] = [
    ("messages", {"messages": HI}, "messages", {"messages": HI}),
    ("conversation", {"conversation": HI}, "messages", {"messages": HI}),
    ("conversations with roles", {"conversations": HI}, "messages", {"messages": HI}),
    (
        "role and key names of others",
        {"messages": [{"role": "developer", "content": "S"}, {"role": "human", "value": "Hi"}, {"role": "model", "content": "Hello."}]},
        "messages",
        {"messages": [system("S"), *HI]},
    ),
    ("a system key", {"system": "S", "messages": HI}, "messages", {"messages": [system("S"), *HI]}),
    ("an empty system key", {"system": "", "messages": HI}, "messages", {"messages": HI}),
    (
        "parts of text",
        {"messages": [user("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}]},
        "messages",
        {"messages": HI},
    ),
    (
        "calls with objects and without ids",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "read", "arguments": {"path": "a"}}}]},
                {"role": "tool", "content": "x = 1"},
                assistant("It is 1."),
            ]
        },
        "messages",
        {"messages": LOOK},
    ),
    (
        "flat calls",
        {"messages": [user("Look"), {"role": "assistant", "content": "", "tool_calls": [{"name": "read", "arguments": {"path": "a"}}]}, *LOOK[2:]]},
        "messages",
        {"messages": LOOK},
    ),
    (
        "arguments written by Python",
        {"messages": [user("Look"), {"role": "assistant", "content": "", "tool_calls": [{"name": "read", "arguments": "{'path': 'a'}"}]}, *LOOK[2:]]},
        "messages",
        {"messages": LOOK},
    ),
    (
        "a new id is none that is there",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": "", "tool_calls": [{"name": "read"}, {"id": "call_1", "name": "read"}]},
            ]
        },
        "messages",
        {
            "messages": [
                user("Look"),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "call_2", "type": "function", "function": {"name": "read", "arguments": "{}"}},
                        {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
                    ],
                },
            ]
        },
    ),
    (
        "OpenAI's first function calls",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": None, "function_call": {"name": "read", "arguments": '{"path": "a"}'}},
                {"role": "function", "name": "read", "content": "x = 1"},
            ],
            "functions": [READ["function"]],
        },
        "messages",
        {"messages": [user("Look"), LOOK[1] | {"content": None}, result("x = 1") | {"name": "read"}], "tools": [READ]},
    ),
    ("tools as JSON text", {"messages": HI, "tools": json.dumps([READ])}, "messages", {"messages": HI, "tools": [READ]}),
    ("bare functions as tools", {"messages": HI, "tools": [READ["function"]]}, "messages", {"messages": HI, "tools": [READ]}),
    (
        "a result that is an object",
        {"messages": [*LOOK[:2], {"role": "tool", "content": {"x": 1}}]},
        "messages",
        {"messages": [*LOOK[:2], result('{"x": 1}')]},
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "id": 7},
        "sharegpt",
        {"messages": [system("S"), *HI], "id": 7},
    ),
    (
        "sharegpt with calls",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "function_call", "value": '{"name": "read", "arguments": {"path": "a"}}'},
                {"from": "observation", "value": "x = 1"},
                {"from": "gpt", "value": "It is 1."},
            ],
            "tools": json.dumps([READ["function"]]),
            "system": "S",
        },
        "sharegpt",
        {"messages": [system("S"), *LOOK], "tools": [READ]},
    ),
    (
        "sharegpt: several calls, words before",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "Both."},
                {"from": "function_call", "value": '[{"name": "read", "arguments": {"path": "a"}}, {"name": "read", "arguments": {"path": "b"}}]'},
                {"from": "observation", "value": "A"},
                {"from": "observation", "value": "B"},
            ],
            "tools": "[]",
        },
        "sharegpt",
        {
            "messages": [
                user("Look"),
                assistant("Both.", ("read", {"path": "a"}), ("read", {"path": "b"})),
                result("A"),
                result("B", 2),
            ]
        },
    ),
    (
        "sharegpt: a call that has a weight of its own",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "Wait.", "weight": 1},
                {"from": "function_call", "value": '{"name": "read", "arguments": {"path": "a"}}', "weight": 0},
            ]
        },
        "sharegpt",
        {
            "messages": [
                user("Look"),
                assistant("Wait.") | {"weight": 1},
                assistant("", ("read", {"path": "a"})) | {"weight": 0},
            ]
        },
    ),
    (
        "sharegpt as Nous writes calls",
        {
            "conversations": [
                {"from": "system", "value": f"You call functions. <tools> [{json.dumps(READ)}] </tools> Call them."},
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "<tool_call>\n{'name': 'read', 'arguments': {'path': 'a'}}\n</tool_call>"},
                {"from": "tool", "value": "<tool_response>\nx = 1\n</tool_response>"},
                {"from": "gpt", "value": "It is 1."},
            ]
        },
        "sharegpt",
        {"messages": [system("You call functions.\n\nCall them."), *LOOK], "tools": [READ]},
    ),
    ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello.", "source": "s"}, "alpaca", {"messages": HI, "source": "s"}),
    ("alpaca with input", {"instruction": "Sum", "input": "1 2", "output": "3"}, "alpaca", {"messages": turns("Sum\n1 2", "3")}),
    (
        "alpaca with all",
        {"instruction": "c", "input": None, "output": "d", "system": "S", "history": [["a", "b"]]},
        "alpaca",
        {"messages": [system("S"), *turns("a", "b", "c", "d")]},
    ),
    ("prompt and completion", {"prompt": "Hi", "completion": "Hello."}, "prompt-completion", {"messages": HI}),
    ("prompt and response", {"prompt": "Hi", "response": "Hello.", "id": 1}, "prompt-completion", {"messages": HI, "id": 1}),
    ("question and answer", {"question": "Hi", "answer": "Hello."}, "prompt-completion", {"messages": HI}),
    ("query and response", {"query": "Hi", "response": "Hello.", "system": "S"}, "prompt-completion", {"messages": [system("S"), *HI]}),
    ("sides that are messages", {"prompt": [system("S"), user("Hi")], "completion": [assistant("Hello.")]}, "prompt-completion", {"messages": [system("S"), *HI]}),
    ("text", {"text": " def f(): ...\n"}, "text", {"messages": [assistant(" def f(): ...\n")]}),
    (
        "ChatML",
        {"text": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|endoftext|>"},
        "text",
        {"messages": [system("S"), *HI]},
    ),
    ("ChatML without its last mark", {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello."}, "text", {"messages": HI}),
    (
        "ChatML as Qwen writes tools",
        {
            "text": "<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
            + "\n".join(map(json.dumps, (READ, GREP)))
            + "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
            '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
            '<|im_end|>\n<|im_start|>user\nLook<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n'
            "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nx = 1\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\nIt is 1.<|im_end|>"
        },
        "text",
        {"messages": [system("S"), *LOOK], "tools": [READ, GREP]},
    ),
    (
        "glaive",
        {
            "system": f"SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n{FUNCTION}\n{json.dumps(GREP['function'])}\n",
            "chat": "USER: Look\n\n\nASSISTANT: <functioncall> {\"name\": \"read\", \"arguments\": '{\"path\": \"a\"}'} <|endoftext|>\n\n\n"
            "FUNCTION RESPONSE: x = 1\n\n\nASSISTANT: It is 1. <|endoftext|>\n\n\n",
        },
        "glaive",
        {"messages": [system("You are a helpful assistant"), *LOOK], "tools": [READ, GREP]},
    ),
    (
        "glaive without functions, on lines",
        {"system": "SYSTEM: You have no functions.", "chat": "USER: Hi\nASSISTANT: Hello."},
        "glaive",
        {"messages": [system("You have no functions."), *HI]},
    ),
    (
        "glaive keeps a label within an answer",
        {"chat": "USER: Hi\n\n\nASSISTANT: A script:\nUSER: hey\nASSISTANT: ho <|endoftext|>\n\n\nUSER: Ta"},
        "glaive",
        {"messages": turns("Hi", "A script:\nUSER: hey\nASSISTANT: ho", "Ta")},
    ),
    (
        "glaive in messages",
        {
            "messages": [
                system(f"SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n{FUNCTION}\n"),
                user("Look"),
                assistant("Wait. <functioncall> {\"name\": \"read\", \"arguments\": '{\"path\": \"a\"}'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {\"lyrics\": \"The"),
            ]
        },
        "glaive",
        {"messages": [system("You are a helpful assistant"), user("Look"), assistant("Wait.", ("read", {"path": "a"})), result('{"lyrics": "The')], "tools": [READ]},
    ),
    (
        "glaive with an apostrophe in the arguments",
        {"messages": [user("Look"), assistant("<functioncall> {\"name\": \"say\", \"arguments\": '{\"text\": \"it's a cat's\"}'}")]},
        "glaive",
        with_calls("", ("say", {"text": "it's a cat's"})),
    ),
    (
        "glaive with an escaped apostrophe",
        {"messages": [user("Look"), assistant("<functioncall> {\"name\": \"say\", \"arguments\": '{\"text\": \"it\\'s\"}'}")]},
        "glaive",
        with_calls("", ("say", {"text": "it's"})),
    ),
    (
        "glaive with arguments as an object",
        {"messages": [user("Look"), assistant('<functioncall> {"name": "say", "arguments": {"text": "a"}} <|endoftext|>')]},
        "glaive",
        with_calls("", ("say", {"text": "a"})),
    ),
]  # fmt: skip


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


# --- calls in the text of an assistant: name, text, detected dialect, remaining text, calls

HERMES = '<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call>'
XML = "<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>"
FENCE = '```json\n{"name": "read", "arguments": {"path": "a"}}\n```'
ONE = ("read", {"path": "a"})
CODE = 'r = grep("</parameter>")\nprint(f"{r}</function>")  # <tool_call>'
CALLS: list[tuple[str, str, str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("plain", HERMES, "hermes", "", [ONE]),
    ("on one line", '<tool_call>{"arguments": {"path": "a"}, "name": "read"}</tool_call>', "hermes", "", [ONE]),
    ("words around", f"I look.\n\n{HERMES}\nWait.", "hermes", "I look.\n\nWait.", [ONE]),
    ("two", f"{HERMES}\n{HERMES}", "hermes", "", [ONE, ONE]),
    ("a list", '<tool_call>[{"name": "read", "arguments": {"path": "a"}}, {"name": "ls"}]</tool_call>', "hermes", "", [ONE, ("ls", {})]),
    ("arguments as text", '<tool_call>{"name": "read", "arguments": "{\\"path\\": \\"a\\"}"}</tool_call>', "hermes", "", [ONE]),
    ("Python's quotes", "<tool_call>{'name': 'read', 'arguments': {'path': 'it\\'s \"a\"', 'x': [True, None]}}</tool_call>", "hermes", "", [("read", {"path": 'it\'s "a"', "x": [True, None]})]),
    ("nested, unicode", '<tool_call>{"name": "w", "arguments": {"a": {"b": [1, {"c": "漢字 \\"q\\" \\n"}]}}}</tool_call>', "hermes", "", [("w", {"a": {"b": [1, {"c": '漢字 "q" \n'}]}})]),
    ("a line break in a string", '<tool_call>{"name": "w", "arguments": {"a": "x\ny"}}</tool_call>', "hermes", "", [("w", {"a": "x\ny"})]),
    ("its own tags in a string", '<tool_call>{"name": "w", "arguments": {"a": "</tool_call> `<tool_call>"}}</tool_call>', "hermes", "", [("w", {"a": "</tool_call> `<tool_call>"})]),
    ("a stray backtick before", 'The ` key: <tool_call>{"name": "w", "arguments": {"a": "`"}}</tool_call>', "hermes", "The ` key:", [("w", {"a": "`"})]),
    ("odd white space", ' \n<tool_call>  {"name" : "read",\n\n "arguments": {"path":\t"a"} }  </tool_call>\n ', "hermes", "", [ONE]),
    ("a tag in backticks beside a call", f"I write `<tool_call>` now.\n{HERMES}", "hermes", "I write `<tool_call>` now.", [ONE]),
    ("code beside a call", f"```xml\n{HERMES}\n```\n{HERMES}", "hermes", f"```xml\n{HERMES}\n```", [ONE]),
    ("a block that never closes", f"```python\nx = 1\n\n{HERMES}", "hermes", "```python\nx = 1", [ONE]),
    ("plain", XML, "qwen3-coder", "", [ONE]),
    ("close together", "<tool_call><function=read><parameter=path>a</parameter></function></tool_call>", "qwen3-coder", "", [ONE]),
    ("words around", f"I look.\n{XML}", "qwen3-coder", "I look.", [ONE]),
    ("two", f"{XML}{XML}", "qwen3-coder", "", [ONE, ONE]),
    ("no parameters", "<tool_call>\n<function=ls>\n</function>\n</tool_call>", "qwen3-coder", "", [("ls", {})]),
    ("without <tool_call>", "<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>", "qwen3-coder", "", [ONE]),
    ("Llama's JSON", 'Now <function=read>{"path": "a"}</function>', "qwen3-coder", "Now", [ONE]),
    ("two parameters, blank lines kept", "<tool_call><function=w><parameter=a>\n\n x\n\n</parameter>\n<parameter=b>\n1\n</parameter></function></tool_call>", "qwen3-coder", "", [("w", {"a": "\n x\n", "b": "1"})]),
    ("tag-like values", f"<tool_call>\n<function=w>\n<parameter=a>\n{CODE}\n</parameter>\n</function>\n</tool_call>", "qwen3-coder", "", [("w", {"a": CODE})]),
    ("windows line ends", "<tool_call>\r\n<function=read>\r\n<parameter=path>\r\na\r\n</parameter>\r\n</function>\r\n</tool_call>", "qwen3-coder", "", [ONE]),
    ("plain", f"I run it.\n\n<tool_call><function=execute_code>\n<parameter=code>\n{CODE}\n</parameter>\n</function></tool_call>", "code-mode", "I run it.", [("execute_code", {"code": CODE})]),
    ("bare", "<function=execute_code>\nprint({1: '✓'})\n</function>", "code-mode", "", [("execute_code", {"code": "print({1: '✓'})"})]),
    ("bare braces", "<function=execute_code>{'a', 'b'}</function>", "code-mode", "", [("execute_code", {"code": "{'a', 'b'}"})]),
    ("plain", FENCE, "fenced-json", "", [ONE]),
    ("tool for name", 'I look.\n\n```json\n{"tool": "read", "arguments": {"path": "a"}}\n```\n', "fenced-json", "I look.", [ONE]),
    ("on one line", '```json {"name": "read", "arguments": {"path": "a"}}```', "fenced-json", "", [ONE]),
    ("no language", '```\n{"name": "read", "parameters": {"path": "a"}}\n```', "fenced-json", "", [ONE]),
    ("two", f"{FENCE}\n\n{FENCE}", "fenced-json", "", [ONE, ONE]),
    ("a list", '```json\n[{"name": "read", "arguments": {"path": "a"}}]\n```', "fenced-json", "", [ONE]),
    ("one quoted value", "```json\n{\n  \"name\": \"w\",\n  \"arguments\": {\"p\": \"a\", \"t\": 'x = 1\\ny = \"2\"'}\n}\n```", "fenced-json", "", [("w", {"p": "a", "t": 'x = 1\ny = "2"'})]),
    ("a block in a string", '```json\n{"name": "w", "arguments": {"t": "```python\nx\n```\n"}}\n```', "fenced-json", "", [("w", {"t": "```python\nx\n```\n"})]),
    ("never closed", '```json\n{"name": "read", "arguments": {"path": "a"}}', "fenced-json", "", [ONE]),
    ("an example before it", f'So:\n```json\n{{"a": 1}}\n```\nNow:\n{FENCE}', "fenced-json", 'So:\n```json\n{"a": 1}\n```\nNow:', [ONE]),
]  # fmt: skip


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
}  # fmt: skip


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
    ("one turn, two marks", [user("<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>")], [result("A"), result("B", 2)]),
    ("one turn, two labels", [user("Tool result: A\n\nTool result: B\n")], [result("A"), result("B\n", 2)]),
    ("none", [], []),
    ("the user goes on", [user("Never mind.")], [user("Never mind.")]),
    ("words after", [user("<tool_response>A</tool_response><tool_response>\n\nB \n</tool_response>\nAnd now?")], [result("A"), result("\nB ", 2), user("And now?")]),
    ("tool turns", [{"role": "tool", "content": "A"}, {"role": "tool", "content": "Tool result: B"}], [result("A"), result("Tool result: B", 2)]),
    ("one tool turn", [{"role": "tool", "content": "<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>"}], [result("A"), result("B", 2)]),
    ("ids in another order", [result("B", 2), {"role": "tool", "content": "A"}], [result("B", 2), result("A")]),
    ("other words for it", [user("FUNCTION RESPONSE: A"), user("Tool Output:\nB")], [result("A"), result("B", 2)]),
    ("white space is the result's", [user("Tool result:  M a\n"), user("Tool result: ")], [result(" M a\n"), result("", 2)]),
]  # fmt: skip


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
GREPPED = "<tool_call>\n<function=grep>\n<parameter=pattern>\n1\n</parameter>\n<parameter=limit>\n1\n</parameter>\n</function>\n</tool_call>"


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


# --- errors: name, record, part of the message

ERRORS: list[tuple[str, Any, str]] = [
    ("no record", [1], "list, not an object - write one JSON object"),
    ("no dialect", {"chosen": "a", "rejected": "b"}, "no dialect fits the keys chosen, rejected - use messages"),
    ("no keys", {}, "the keys none"),
    ("messages as text", {"messages": "[]", "text": "a"}, "messages is str, not a list"),
    ("no messages", {"messages": []}, "no messages"),
    ("a message that is text", {"messages": [user("a"), "b"]}, "message 2: str, not an object"),
    ("a role", {"messages": [user("a"), {"role": "narrator", "content": "b"}]}, "message 2: unknown role 'narrator' - use system"),
    ("no role", {"conversations": [{"from": "human", "value": "a"}, {"value": "b"}]}, "message 2: unknown role None"),
    ("no content", {"messages": [user("a"), {"role": "assistant", "text": "b"}]}, "message 2 (assistant): no content, other keys: text"),
    ("an image", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "message 1 (user): content is list and not only text"),
    ("a number", {"messages": [{"role": "user", "content": 1}]}, "message 1 (user): content is int"),
    ("a call without a name", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"function": {}}]}]}, "message 2 (assistant): a call without a name"),
    ("arguments that are no JSON", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]}, "message 2 (assistant): Expecting property name"),
    ("arguments that are a list", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}]}, "arguments are list, not an object"),
    ("a result before any call", {"messages": [user("a"), {"role": "tool", "content": "b"}]}, "message 2 (tool): results: 1, calls without a result: 0"),
    ("a third result", answered(TWO, *[{"role": "tool", "content": "b"}] * 3), "message 5 (tool): results: 1, calls without a result: 0"),
    ("three results at once", answered(TWO, user("<tool_response>" + "</tool_response><tool_response>" * 2 + "</tool_response>")), "message 3 (user): results: 3, calls without a result: 2"),
    ("one result for two calls", answered(TWO, user("Tool result: b"), assistant("c")), "message 4 (assistant): fewer results than calls"),
    ("one result for two calls at the end", answered(TWO, user("Tool result: b")), "message 3 (user): fewer results than calls"),
    ("a result that never closes", answered(HERMES, user("<tool_response>\nb")), "message 3 (user): <tool_response> is never closed"),
    ("tools that are none", {"messages": HI, "tools": "[{}]"}, "tools: a tool without a name"),
    ("tools that are broken", {"messages": HI, "tools": "["}, "tools: Expecting value"),
    ("tools twice", {"messages": HI, "tools": [READ], "functions": [READ]}, "tools and functions both declare"),
    ("a tool declared in two ways", {"messages": [system(f"<tools>{json.dumps(tool('read'))}</tools>"), *HI], "tools": [READ]}, "message 1 (system): tool 'read' is declared twice"),
    ("tools in the prompt that are broken", {"messages": [system('<tools>{"name": </tools>'), *HI]}, "message 1 (system): Expecting value"),
    ("hermes: no JSON", answered("<tool_call>\nread a\n</tool_call>"), "message 2 (assistant): <tool_call> holds neither JSON nor"),
    ("hermes: nothing", answered("<tool_call>\n"), "holds neither JSON nor"),
    ("hermes: broken JSON", answered('<tool_call>{"name": "read", "arguments": {"path": }}</tool_call>'), "message 2 (assistant): <tool_call> cannot be parsed: Expecting value, near:"),
    ("hermes: no name", answered('<tool_call>{"arguments": {}}</tool_call>'), "<tool_call> cannot be parsed: no name"),
    ("hermes: more keys", answered('<tool_call>{"name": "a", "arguments": {}, "why": 1}</tool_call>'), "unknown keys in a call: why"),
    ("hermes: a key twice", answered('<tool_call>{"name": "a", "arguments": {"a": 1, "a": 2}}</tool_call>'), "duplicate key"),
    ("hermes: not a number", answered('<tool_call>{"name": "a", "arguments": {"a": NaN}}</tool_call>'), "NaN is not valid JSON"),
    ("hermes: half a pair", answered('<tool_call>{"name": "a", "arguments": {"a": "\\ud800"}}</tool_call>'), "half a surrogate pair"),
    ("hermes: never closed", answered('<tool_call>{"name": "read", "arguments": {"path": "a"}}'), "<tool_call> is never closed"),
    ("hermes: deep", answered("<tool_call>" + "[" * 100_000 + "</tool_call>"), "nested too deep"),
    ("xml: never closed", answered("<tool_call><function=read><parameter=path>a</parameter></function>"), "<function=...> is never closed"),
    ("xml: no name", answered("<tool_call><function=><parameter=path>a</parameter></function></tool_call>"), "<function=...> has no name"),
    ("xml: parameter never closed", answered("<tool_call><function=read><parameter=path>a</function></tool_call>"), "<function=read> cannot be parsed: text outside parameters: '<parameter=path>a'"),
    ("xml: parameter twice", answered("<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>"), "duplicate parameter 'a'"),
    ("xml: words for parameters", answered("<tool_call><function=f>path a</function></tool_call>"), "no parameters in 'path a'"),
    ("xml: a value that holds all closing tags", answered("<tool_call><function=f><parameter=a>x</parameter></function></tool_call></parameter></function></tool_call>"), "</parameter> is left over beside a call"),
    ("xml: another type", answered("<tool_call><function=f><parameter=p>x</parameter></function></tool_call>") | {"tools": [tool("f", p="integer")]}, "parameter 'p' is declared as integer, but is 'x'"),
    ("xml: a number for a flag", answered("<tool_call><function=f><parameter=p>1</parameter></function></tool_call>") | {"tools": [tool("f", p="boolean")]}, "is declared as boolean"),
    ("xml: a flag for a number", answered("<tool_call><function=f><parameter=p>true</parameter></function></tool_call>") | {"tools": [tool("f", p="integer")]}, "is declared as integer"),
    ("code: none", answered("<tool_call><function=execute_code>\n</function></tool_call>"), "no parameters"),
    ("fence: a brace is missing", answered('```json\n{"name": "read", "arguments": {"path": "a"}\n```'), "message 2 (assistant): the fenced JSON is a call that cannot be parsed: Expecting ',' delimiter"),
    ("fence: a bad escape", answered('```json\n{"name": "read", "arguments": {"path": "\\{"}}\n```', user("Tool result: a")), "Invalid \\escape"),
    ("fence: more keys", answered('```json\n{"name": "read", "arguments": {}, "id": 1}\n```'), "unknown keys in a call: id"),
    ("glaive: no JSON", answered("<functioncall> read"), "<functioncall> holds no JSON"),
    ("glaive: broken arguments", answered("<functioncall> {\"name\": \"a\", \"arguments\": '{\"b\": }'}"), "<functioncall> cannot be parsed"),
    ("glaive: no label", {"chat": "Hi"}, "chat starts with 'Hi', not with a label"),
    ("glaive: nothing", {"chat": " "}, "chat has no 'USER:'"),
    ("sharegpt: a call that is words", {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "read a"}]}, "message 2 (function_call): Expecting value"),
    ("alpaca: nothing asked", {"instruction": "", "input": "", "output": "a"}, "instruction and input are empty"),
    ("alpaca: output", {"instruction": "a", "output": ["b"]}, "output is list, not text"),
    ("alpaca: history", {"instruction": "a", "output": "b", "history": ["a", "b"]}, "history is not a list of [question, answer] pairs"),
    ("a pair with context", {"question": "a", "answer": "b", "context": "c"}, "'context' beside question and answer"),
    ("ChatML: no end", {"text": "<|im_start|>user\na\n<|im_start|>assistant\nb"}, "message 1 (user): no <|im_end|> at its end"),
    ("ChatML: words before", {"text": "a<|im_start|>user\na<|im_end|>"}, "text before the first <|im_start|>: 'a'"),
    ("ChatML: words between", {"text": "<|im_start|>user\na<|im_end|>b<|im_start|>user\na<|im_end|>"}, "message 1 (user): no <|im_end|> at its end"),
    ("ChatML: a role", {"text": "<|im_start|>critic\na<|im_end|>"}, "message 1: unknown role 'critic'"),
    ("another template", {"text": "[INST] a [/INST] b"}, "text holds [INST] of another chat template"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "reason"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_an_error_names_the_message_and_a_fix(record, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        to_canonical(record)
    assert " - " in str(caught.value)
    assert "\n" not in str(caught.value)


# --- restriction to one dialect


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


# --- laws: a conversation written in a dialect is converted back to the same conversation

BITS = (
    "a",
    "b c",
    "漢字",
    "é",
    "'",
    '"',
    "\\",
    "\\n",
    "\n",
    "\n\n",
    "{",
    "}",
    "[",
    ",",
    ": ",
    "1",
    "None",
    "true",
    "</b>",
    "<p>",
    "&amp;",
    "🙂",
    "%",
    "$",
)
CODES = (
    *BITS,
    "`",
    "```",
    "</parameter>",
    "<tool_call>",
    "</tool_call>",
    "<functioncall>",
    "```json",
    "# x\n",
    "    ",
    "\t",
    "<|endoftext|>",
    "USER: ",
)
nasty = st.lists(st.sampled_from(CODES), max_size=8).map("".join)
words = st.lists(st.sampled_from(BITS), max_size=8).map("".join).map(lambda text: " ".join(f"w{text}w".split(" ")))
values = st.recursive(
    nasty | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(nasty, inner, max_size=2),
    max_leaves=4,
)
names = st.sampled_from(("read", "write_file", "a.b", "x-y"))
keys = st.sampled_from(("path", "text", "x_1"))


@st.composite
def conversations(draw, values=values, names=names, keys=keys, max_calls: int = 3, has_prompt: bool = True) -> Record:
    """Draw a conversation in canonical form, with its calls numbered in order."""
    messages = [system(draw(words))] if has_prompt and draw(st.booleans()) else []
    number = 1
    for _ in range(draw(st.integers(1, 3))):
        messages.append(user(draw(words)))
        for _ in range(draw(st.integers(0, 2))):
            calls = draw(
                st.lists(st.tuples(names, st.dictionaries(keys, values, max_size=3)), min_size=1, max_size=max_calls)
            )
            messages.append(assistant(draw(words | st.just("")), *calls, first=number))
            messages += [result(draw(words), number + index) for index in range(len(calls))]
            number += len(calls)
        messages.append(assistant(draw(words)))
    return {"messages": messages}


def functions(message: Record) -> list[tuple[str, dict[str, Any]]]:
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", ())
    ]


def in_text(record: Record, write_call, write_result, role: str = "user", between: str = "\n") -> Record:
    """Return the record with its calls as markup in the texts, and its results as messages of `role`."""
    messages = []
    for message in record["messages"]:
        if message["role"] == "tool":
            messages.append({"role": role, "content": write_result(message["content"])})
        elif calls := functions(message):
            parts = [message["content"], *(write_call(name, arguments) for name, arguments in calls)]
            messages.append({"role": "assistant", "content": between.join(part for part in parts if part)})
        else:
            messages.append(message)
    return record | {"messages": messages}


def as_json(name: str, arguments: dict[str, Any]) -> str:
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def hermes(name: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>\n{as_json(name, arguments)}\n</tool_call>"


def fence(name: str, arguments: dict[str, Any]) -> str:
    return f"```json\n{json.dumps({'name': name, 'arguments': arguments}, indent=2)}\n```"


def xml(name: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>\n<function={name}>\n{''.join(f'<parameter={key}>{chr(10)}{value}{chr(10)}</parameter>{chr(10)}' for key, value in arguments.items())}</function>\n</tool_call>"


def glaive(name: str, arguments: dict[str, Any]) -> str:
    return f'<functioncall> {{"name": "{name}", "arguments": \'{json.dumps(arguments)}\'}} <|endoftext|>'


def response(text: str) -> str:
    return f"<tool_response>\n{text}\n</tool_response>"


def label(text: str) -> str:
    return f"Tool result: {text}"


def chatml(record: Record) -> Record:
    return {
        "text": "".join(
            f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in record["messages"]
        )
    }


def sharegpt(record: Record) -> Record:
    turns = []
    labels = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    for message in record["messages"]:
        calls = functions(message)
        if message["content"] or not calls:
            turns.append({"from": labels[message["role"]], "value": message["content"]})
        if calls:
            turns.append({"from": "function_call", "value": f"[{', '.join(as_json(*call) for call in calls)}]"})
    return {"conversations": turns}


def glaive_chat(record: Record) -> Record:
    labels = {"user": "USER", "assistant": "ASSISTANT", "tool": "FUNCTION RESPONSE"}
    parts = in_text(record, glaive, str, "tool")["messages"]
    prompt = {"system": f"SYSTEM: {parts.pop(0)['content']}"} if parts[0]["role"] == "system" else {}
    return prompt | {"chat": "\n\n\n".join(f"{labels[part['role']]}: {part['content']}" for part in parts)}


@pytest.mark.slow
@given(conversations())
def test_sharegpt_round_trip(record):
    assert to_canonical(sharegpt(record)) == record


@pytest.mark.slow
@given(conversations())
def test_hermes_round_trip(record):
    for variant in (in_text(record, hermes, response), in_text(record, hermes, response, "tool")):
        assert to_canonical(variant) == record
        assert to_canonical(chatml(variant)) == record


@pytest.mark.slow
@given(conversations())
def test_fenced_json_round_trip(record):
    assert to_canonical(in_text(record, fence, label, between="\n\n")) == record


parameter_values = nasty.filter(lambda text: not re.search(r"</parameter>\s*(<parameter=|$)", text))


@pytest.mark.slow
@given(conversations(values=parameter_values))
def test_qwen3_coder_round_trip(record):
    assert to_canonical(in_text(record, xml, response)) == record


@pytest.mark.slow
@given(conversations(values=parameter_values, names=st.just("execute_code"), keys=st.just("code")))
def test_code_mode_round_trip(record):
    has_empty_call = any(not arguments for message in record["messages"] for _, arguments in functions(message))
    if not has_empty_call:
        assert to_canonical(in_text(record, xml, response)) == record


plain = st.text(st.characters(exclude_categories=("C",)), max_size=8)


@given(conversations(values=plain, max_calls=1, has_prompt=False))
def test_glaive_round_trip(record):
    assert to_canonical(in_text(record, glaive, lambda text: f"FUNCTION RESPONSE: {text}")) == record


@given(conversations(values=plain, max_calls=1))
def test_glaive_chat_round_trip(record):
    assert to_canonical(glaive_chat(record)) == record


@given(words, words, words)
def test_pairs_round_trip(prompt, question, answer):
    expected = {"messages": [system(prompt), user(question), assistant(answer)]}
    assert to_canonical({"instruction": question, "output": answer, "system": prompt}) == expected
    assert to_canonical({"question": question, "answer": answer, "system": prompt}) == expected
    assert to_canonical({"text": answer}) == {"messages": [assistant(answer)]}


anything = st.lists(
    st.sampled_from(
        (
            *CODES,
            HERMES,
            XML,
            FENCE,
            "<function=",
            "<function=read>",
            "<parameter=a>",
            "</function>",
            "<tool_response>",
            "</tool_response>",
            "Tool result: ",
            "```",
            "FUNCTION RESPONSE: ",
            "SYSTEM: ",
            '{"name": "a", "arguments": {}}',
        )
    ),
    max_size=7,
).map("".join)
MARKUP = re.compile(
    r"</?tool_call>|</?tool_response>|</?function(=\w*)?>|<function=|</?parameter(=\w*)?>|<functioncall>|<\|endoftext\|>|`+(json)?|(?i:(tool|function) (result|response|output)s?:)|SYSTEM:|\W"
)
STRUCTURE = ("name", "arguments", "path", "read")


def letters(text: str) -> str:
    """Return the sorted letters of a text, without markup and the keys of calls."""
    bare = MARKUP.sub("", text)
    for word in STRUCTURE:
        bare = bare.replace(word, "")
    return "".join(sorted(bare))


def conversion_error(record: Record) -> str:
    try:
        to_canonical(record)
    except ValueError as error:
        return str(error)
    return ""


calling = st.tuples(anything, st.sampled_from((HERMES, XML, f"\n{FENCE}\n")), anything).map("\n".join)
answering = st.tuples(st.sampled_from(("", "Tool result: ", "<tool_response>\n")), anything).map("".join)


@given(
    st.lists(
        st.tuples(st.just("user"), anything)
        | st.tuples(st.just("system"), anything)
        | st.tuples(st.just("assistant"), anything | calling)
        | st.tuples(st.just("user"), answering),
        min_size=1,
        max_size=4,
    )
)
def test_conversion_loses_no_text(parts):
    record = {"messages": [{"role": role, "content": text} for role, text in parts]}
    problem = conversion_error(record)
    if problem:
        assert re.match(r"message \d", problem)
        return
    canonical = to_canonical(record)
    assert to_canonical(canonical) is canonical
    output = "".join(
        f"{message['content']} {' '.join(f'{name} {json.dumps(arguments, ensure_ascii=False)}' for name, arguments in functions(message))}"
        for message in canonical["messages"]
    )
    assert letters(output) == letters("".join(text for _, text in parts))


def test_every_dialect_has_a_case():
    assert {row[2] for row in CONTAINERS} | {row[2] for row in CALLS} == set(NAMES)
