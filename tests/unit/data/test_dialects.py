from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.dialects.normalize import NAMES, detect, normalise
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


def said(text: str, *after: Record) -> Record:
    """A record whose assistant answers with this text."""
    return {"messages": [user("Look"), {"role": "assistant", "content": text}, *after]}


def called(text: str, *calls: tuple[str, dict[str, Any]]) -> Record:
    return {"messages": [user("Look"), assistant(text, *calls)]}


# --- containers: what, detected as, becomes

MIXED = "id category weight".split()
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
        called("", ("say", {"text": "it's a cat's"})),
    ),
    (
        "glaive with an escaped apostrophe",
        {"messages": [user("Look"), assistant("<functioncall> {\"name\": \"say\", \"arguments\": '{\"text\": \"it\\'s\"}'}")]},
        "glaive",
        called("", ("say", {"text": "it's"})),
    ),
    (
        "glaive with arguments as an object",
        {"messages": [user("Look"), assistant('<functioncall> {"name": "say", "arguments": {"text": "a"}} <|endoftext|>')]},
        "glaive",
        called("", ("say", {"text": "a"})),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "dialect", "expected"), [row[1:] for row in CONTAINERS], ids=[row[0] for row in CONTAINERS]
)
def test_containers(record, dialect, expected):
    before = deepcopy(record)
    assert detect(record) == dialect
    assert normalise(record) == expected
    assert normalise(record, dialect) == expected or dialect == "messages"
    assert record == before
    assert parse(json.dumps(normalise(record)).encode())


# --- calls in the text of an assistant: what, text, detected as, words left, calls

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
    ("text", "dialect", "words", "calls"), [row[1:] for row in CALLS], ids=[f"{row[2]}: {row[0]}" for row in CALLS]
)
def test_calls_in_text(text, dialect, words, calls):
    record = said(text)
    assert detect(record) == dialect
    assert normalise(record) == normalise(record, dialect) == called(words, *calls)


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
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_stays_text(text):
    record = said(text)
    assert normalise(record) is record
    assert detect(record) == "messages"


def test_a_fenced_call_is_told_by_where_it_stands():
    words = f"Like this:\n{FENCE}"
    thanks = said(words, user("Thanks."))
    assert normalise(thanks) is thanks  # no result, and the conversation goes on
    answered = normalise(said(f"{words}\nWait.", user("Tool result: 1")))
    assert answered["messages"][1:] == [assistant("Like this:\n\nWait.", ONE), result("1")]
    assert "tool_calls" in normalise(thanks | {"tools": [READ]})["messages"][1]  # declared
    other = said(words) | {"tools": [GREP]}
    assert normalise(other) is other


# --- results

TWO = f"{HERMES}\n{HERMES}"
ASKED = [user("Look"), assistant("", ONE, ONE)]
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
def test_results(turns_after, expected):
    assert normalise(said(TWO, *turns_after))["messages"] == [*ASKED, *expected]


def test_labels_within_a_result_are_its_own_words():
    text = "a\nTool result: b"
    assert normalise(said(HERMES, user(f"Tool result: {text}")))["messages"][2] == result(text)


def test_a_turn_that_looks_like_a_result_is_one_only_after_a_call():
    record = {
        "messages": [
            user("Tool result: what is that?"),
            assistant("Words."),
            user("<tool_response>x</tool_response>"),
            assistant("?"),
        ]
    }
    assert normalise(record) is record


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


def test_qwen3_coders_prompt_declares_types():
    made = normalise({"messages": [system(CODER), user("Look"), assistant(GREPPED)]})
    assert made == {
        "messages": [system("S"), *called("", ("grep", {"pattern": "1", "limit": 1}))["messages"]],
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
    record = said(f"<tool_call><function=f><parameter=p>\n{text}\n</parameter></function></tool_call>") | {
        "tools": [tool("f", p=kind)]
    }
    assert normalise(record)["messages"] == called("", ("f", {"p": value}))["messages"]


def test_a_prompt_that_only_declares_is_dropped_and_a_tool_declared_twice_is_one():
    prompt = system(f"<tools>{json.dumps(READ)}</tools>")
    assert normalise({"messages": [prompt, *HI], "tools": [READ]}) == {"messages": HI, "tools": [READ]}
    prose = {"messages": [system("Use <tools>hammers</tools> and <tools></tools>."), *HI]}
    assert normalise(prose) is prose


# --- errors: what, record, what the text must say

ERRORS: list[tuple[str, Any, str]] = [
    ("no record", [1], "list, not an object - one JSON object"),
    ("no dialect", {"chosen": "a", "rejected": "b"}, "no dialect fits the keys chosen, rejected - bring messages"),
    ("no keys", {}, "the keys none"),
    ("messages as text", {"messages": "[]", "text": "a"}, "messages is str, not a list"),
    ("no messages", {"messages": []}, "no messages"),
    ("a message that is text", {"messages": [user("a"), "b"]}, "message 2: str, not an object"),
    ("a role", {"messages": [user("a"), {"role": "narrator", "content": "b"}]}, "message 2: unknown role 'narrator' - use system"),
    ("no role", {"conversations": [{"from": "human", "value": "a"}, {"value": "b"}]}, "message 2: unknown role None"),
    ("no content", {"messages": [user("a"), {"role": "assistant", "text": "b"}]}, "message 2 (assistant): no content, but text"),
    ("an image", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "message 1 (user): content is list and not only text"),
    ("a number", {"messages": [{"role": "user", "content": 1}]}, "message 1 (user): content is int"),
    ("a call without a name", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"function": {}}]}]}, "message 2 (assistant): a call without a name"),
    ("arguments that are no JSON", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]}, "message 2 (assistant): Expecting property name"),
    ("arguments that are a list", {"messages": [user("a"), {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}]}, "arguments are list, not an object"),
    ("a result before any call", {"messages": [user("a"), {"role": "tool", "content": "b"}]}, "message 2 (tool): results: 1, calls that wait for one: 0"),
    ("a third result", said(TWO, *[{"role": "tool", "content": "b"}] * 3), "message 5 (tool): results: 1, calls that wait for one: 0"),
    ("three results at once", said(TWO, user("<tool_response>" + "</tool_response><tool_response>" * 2 + "</tool_response>")), "message 3 (user): results: 3, calls that wait for one: 2"),
    ("one result for two calls", said(TWO, user("Tool result: b"), assistant("c")), "message 4 (assistant): fewer results than calls"),
    ("one result for two calls at the end", said(TWO, user("Tool result: b")), "message 3 (user): fewer results than calls"),
    ("a result that never closes", said(HERMES, user("<tool_response>\nb")), "message 3 (user): <tool_response> is never closed"),
    ("tools that are none", {"messages": HI, "tools": "[{}]"}, "tools: a tool without a name"),
    ("tools that are broken", {"messages": HI, "tools": "["}, "tools: Expecting value"),
    ("tools twice", {"messages": HI, "tools": [READ], "functions": [READ]}, "tools and functions both declare"),
    ("a tool declared in two ways", {"messages": [system(f"<tools>{json.dumps(tool('read'))}</tools>"), *HI], "tools": [READ]}, "message 1 (system): tool 'read' is declared twice"),
    ("tools in the prompt that are broken", {"messages": [system('<tools>{"name": </tools>'), *HI]}, "message 1 (system): Expecting value"),
    ("hermes: no JSON", said("<tool_call>\nread a\n</tool_call>"), "message 2 (assistant): <tool_call> holds neither JSON nor"),
    ("hermes: nothing", said("<tool_call>\n"), "holds neither JSON nor"),
    ("hermes: broken JSON", said('<tool_call>{"name": "read", "arguments": {"path": }}</tool_call>'), "message 2 (assistant): <tool_call> cannot be read: Expecting value, near:"),
    ("hermes: no name", said('<tool_call>{"arguments": {}}</tool_call>'), "<tool_call> cannot be read: no name"),
    ("hermes: more keys", said('<tool_call>{"name": "a", "arguments": {}, "why": 1}</tool_call>'), "keys that no call has: why"),
    ("hermes: a key twice", said('<tool_call>{"name": "a", "arguments": {"a": 1, "a": 2}}</tool_call>'), "a key stands twice"),
    ("hermes: not a number", said('<tool_call>{"name": "a", "arguments": {"a": NaN}}</tool_call>'), "NaN is no JSON"),
    ("hermes: half a pair", said('<tool_call>{"name": "a", "arguments": {"a": "\\ud800"}}</tool_call>'), "half a surrogate pair"),
    ("hermes: never closed", said('<tool_call>{"name": "read", "arguments": {"path": "a"}}'), "<tool_call> is never closed"),
    ("hermes: deep", said("<tool_call>" + "[" * 100_000 + "</tool_call>"), "nested too deep"),
    ("xml: never closed", said("<tool_call><function=read><parameter=path>a</parameter></function>"), "<function=...> is never closed"),
    ("xml: no name", said("<tool_call><function=><parameter=path>a</parameter></function></tool_call>"), "<function=...> has no name"),
    ("xml: parameter never closed", said("<tool_call><function=read><parameter=path>a</function></tool_call>"), "<function=read> cannot be read: no parameter: '<parameter=path>a'"),
    ("xml: parameter twice", said("<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>"), "parameter 'a' stands twice"),
    ("xml: words for parameters", said("<tool_call><function=f>path a</function></tool_call>"), "no parameters in 'path a'"),
    ("xml: a value that holds all closing tags", said("<tool_call><function=f><parameter=a>x</parameter></function></tool_call></parameter></function></tool_call>"), "</parameter> is left over beside a call"),
    ("xml: another type", said("<tool_call><function=f><parameter=p>x</parameter></function></tool_call>") | {"tools": [tool("f", p="integer")]}, "parameter 'p' is declared integer and says 'x'"),
    ("xml: a number for a flag", said("<tool_call><function=f><parameter=p>1</parameter></function></tool_call>") | {"tools": [tool("f", p="boolean")]}, "is declared boolean"),
    ("xml: a flag for a number", said("<tool_call><function=f><parameter=p>true</parameter></function></tool_call>") | {"tools": [tool("f", p="integer")]}, "is declared integer"),
    ("code: none", said("<tool_call><function=execute_code>\n</function></tool_call>"), "no parameters"),
    ("fence: a brace is missing", said('```json\n{"name": "read", "arguments": {"path": "a"}\n```'), "message 2 (assistant): the fenced JSON is a call that cannot be read: Expecting ',' delimiter"),
    ("fence: a bad escape", said('```json\n{"name": "read", "arguments": {"path": "\\{"}}\n```', user("Tool result: a")), "Invalid \\escape"),
    ("fence: more keys", said('```json\n{"name": "read", "arguments": {}, "id": 1}\n```'), "keys that no call has: id"),
    ("glaive: no JSON", said("<functioncall> read"), "<functioncall> holds no JSON"),
    ("glaive: broken arguments", said("<functioncall> {\"name\": \"a\", \"arguments\": '{\"b\": }'}"), "<functioncall> cannot be read"),
    ("glaive: no label", {"chat": "Hi"}, "chat starts with 'Hi', not with a label"),
    ("glaive: nothing", {"chat": " "}, "chat has no 'USER:'"),
    ("sharegpt: a call that is words", {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "read a"}]}, "message 2 (function_call): Expecting value"),
    ("alpaca: nothing asked", {"instruction": "", "input": "", "output": "a"}, "instruction and input are empty"),
    ("alpaca: output", {"instruction": "a", "output": ["b"]}, "output is list, not text"),
    ("alpaca: history", {"instruction": "a", "output": "b", "history": ["a", "b"]}, "history is no list of [question, answer] pairs"),
    ("a pair with context", {"question": "a", "answer": "b", "context": "c"}, "'context' beside question and answer"),
    ("ChatML: no end", {"text": "<|im_start|>user\na\n<|im_start|>assistant\nb"}, "message 1 (user): no <|im_end|> at its end"),
    ("ChatML: words before", {"text": "a<|im_start|>user\na<|im_end|>"}, "text before the first <|im_start|>: 'a'"),
    ("ChatML: words between", {"text": "<|im_start|>user\na<|im_end|>b<|im_start|>user\na<|im_end|>"}, "message 1 (user): no <|im_end|> at its end"),
    ("ChatML: a role", {"text": "<|im_start|>critic\na<|im_end|>"}, "message 1: unknown role 'critic'"),
    ("another template", {"text": "[INST] a [/INST] b"}, "text holds [INST], another chat template"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "reason"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_errors_say_where_and_what_to_do(record, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        normalise(record)
    assert " - " in str(caught.value)
    assert "\n" not in str(caught.value)


# --- asking for a dialect


def test_a_dialect_by_name_restricts():
    assert normalise(said(HERMES), "messages") == said(HERMES)
    assert normalise(said(HERMES), "qwen3-coder") == said(HERMES)
    assert normalise(said(XML), "code-mode") == said(XML)
    broken = said("<tool_call>\nno JSON\n</tool_call>")
    assert normalise(broken, "fenced-json") == broken
    assert normalise({"text": "[INST] a"}, "text") == {"messages": [assistant("[INST] a")]}
    with pytest.raises(ValueError, match="no dialect 'openai' - use auto or one of messages"):
        normalise(said(HERMES), "openai")
    with pytest.raises(ValueError, match="not alpaca: the keys are those of messages - say dialect 'messages'"):
        normalise(said(HERMES), "alpaca")
    with pytest.raises(ValueError, match="not hermes"):
        normalise({"chat": "USER: a"}, "hermes")


def test_detect_names_a_dialect_for_broken_calls_too():
    assert detect(said("<tool_call>\nno JSON\n</tool_call>")) == "messages"
    with pytest.raises(ValueError, match="no dialect fits"):
        detect({"a": 1})


NORMAL = {
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


@pytest.mark.parametrize("record", NORMAL.values(), ids=NORMAL)
def test_the_normal_form_is_returned_as_it_is(record):
    before = deepcopy(record)
    assert normalise(record) is record
    assert detect(record) == "messages"
    assert record == before


@pytest.mark.parametrize("record", [row[1] for row in CONTAINERS] + [said(row[1]) for row in CALLS])
def test_normalising_twice_changes_nothing(record):
    once = normalise(record)
    assert normalise(once) is once


# --- laws: what is written in a dialect comes back

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
def conversations(draw, values=values, names=names, keys=keys, most: int = 3, prompted: bool = True) -> Record:
    """A conversation in the one form, with its calls numbered as they come."""
    messages = [system(draw(words))] if prompted and draw(st.booleans()) else []
    number = 1
    for _ in range(draw(st.integers(1, 3))):
        messages.append(user(draw(words)))
        for _ in range(draw(st.integers(0, 2))):
            calls = draw(
                st.lists(st.tuples(names, st.dictionaries(keys, values, max_size=3)), min_size=1, max_size=most)
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


def in_text(record: Record, write, answer, role: str = "user", between: str = "\n") -> Record:
    """The record with its calls written into the texts, and its results as turns of `role`."""
    messages = []
    for message in record["messages"]:
        if message["role"] == "tool":
            messages.append({"role": role, "content": answer(message["content"])})
        elif calls := functions(message):
            parts = [message["content"], *(write(name, arguments) for name, arguments in calls)]
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
    found = []
    spoken = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    for message in record["messages"]:
        calls = functions(message)
        if message["content"] or not calls:
            found.append({"from": spoken[message["role"]], "value": message["content"]})
        if calls:
            found.append({"from": "function_call", "value": f"[{', '.join(as_json(*call) for call in calls)}]"})
    return {"conversations": found}


def glaive_chat(record: Record) -> Record:
    spoken = {"user": "USER", "assistant": "ASSISTANT", "tool": "FUNCTION RESPONSE"}
    parts = in_text(record, glaive, str, "tool")["messages"]
    prompt = {"system": f"SYSTEM: {parts.pop(0)['content']}"} if parts[0]["role"] == "system" else {}
    return prompt | {"chat": "\n\n\n".join(f"{spoken[part['role']]}: {part['content']}" for part in parts)}


@pytest.mark.slow
@given(conversations())
def test_sharegpt_comes_back(record):
    assert normalise(sharegpt(record)) == record


@pytest.mark.slow
@given(conversations())
def test_hermes_comes_back(record):
    for written in (in_text(record, hermes, response), in_text(record, hermes, response, "tool")):
        assert normalise(written) == record
        assert normalise(chatml(written)) == record


@pytest.mark.slow
@given(conversations())
def test_fenced_json_comes_back(record):
    assert normalise(in_text(record, fence, label, between="\n\n")) == record


whole = nasty.filter(lambda text: not re.search(r"</parameter>\s*(<parameter=|$)", text))


@pytest.mark.slow
@given(conversations(values=whole))
def test_qwen3_coder_comes_back(record):
    assert normalise(in_text(record, xml, response)) == record


@pytest.mark.slow
@given(conversations(values=whole, names=st.just("execute_code"), keys=st.just("code")))
def test_code_mode_comes_back(record):
    emptied = any(not arguments for message in record["messages"] for _, arguments in functions(message))
    if not emptied:
        assert normalise(in_text(record, xml, response)) == record


plain = st.text(st.characters(exclude_categories=("C",)), max_size=8)


@given(conversations(values=plain, most=1, prompted=False))
def test_glaive_comes_back(record):
    assert normalise(in_text(record, glaive, lambda text: f"FUNCTION RESPONSE: {text}")) == record


@given(conversations(values=plain, most=1))
def test_glaives_chat_comes_back(record):
    assert normalise(glaive_chat(record)) == record


@given(words, words, words)
def test_pairs_come_back(prompt, asked, answered):
    expected = {"messages": [system(prompt), user(asked), assistant(answered)]}
    assert normalise({"instruction": asked, "output": answered, "system": prompt}) == expected
    assert normalise({"question": asked, "answer": answered, "system": prompt}) == expected
    assert normalise({"text": answered}) == {"messages": [assistant(answered)]}


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
    """A text's letters, without markup and without the keys of calls."""
    bare = MARKUP.sub("", text)
    for word in STRUCTURE:
        bare = bare.replace(word, "")
    return "".join(sorted(bare))


def why_not(record: Record) -> str:
    try:
        normalise(record)
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
def test_no_text_is_ever_lost(parts):
    record = {"messages": [{"role": role, "content": text} for role, text in parts]}
    problem = why_not(record)
    if problem:
        assert re.match(r"message \d", problem)
        return
    made = normalise(record)
    assert normalise(made) is made
    came = "".join(
        f"{message['content']} {' '.join(f'{name} {json.dumps(arguments, ensure_ascii=False)}' for name, arguments in functions(message))}"
        for message in made["messages"]
    )
    assert letters(came) == letters("".join(text for _, text in parts))


def test_every_dialect_is_tried_here():
    assert {row[2] for row in CONTAINERS} | {row[2] for row in CALLS} == set(NAMES)
