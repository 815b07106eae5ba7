"""Hypothesis strategies for the rows of the fuzz run: conversations in every dialect, valid and damaged.

A row is drawn as plain Python. JSON that Python does not write (a duplicate key, a number of 5000 digits, 3000
brackets) replaces a placeholder in its text, `@raw7@`.
"""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.support.shape_cases import SHAPES

RAW = (
    "NaN", "-Infinity", "1e400", "-0.0", "1.0", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809", "1" * 400,
    "9" * 5000, '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '{"a": 1, "a": 2}', '{"role": "user", "role": "tool"}',
    "[" * 500 + "]" * 500,
    "[" * 3000 + "]" * 3000, '{"a":' * 600 + "1" + "}" * 600, "[" * 900 + "{}" + "]" * 900, "", "\x00", "[1,]", "'a'",
    "True", '"\\x41"', '"a\tb"',
)  # fmt: skip
JUNK = (
    None, True, False, 0, -1, 7, 2**31, 2**63, 2**64, 10**30, 0.5, 1e300, "", " ", "x", "\ud800", "\x00", "null",
    "[]", "{}", "[1]", '{"name": 1}',
    '{"name": "f", "arguments": {}}', [], {}, [None], [[]], [{}], ["a"], [{"name": "f"}], {"name": "f"},
    {"function": None},
    {"function": {"name": "f", "parameters": []}},
    {"type": "function", "function": {"name": "f", "parameters": {"properties": [], "required": 1}}},
    {"type": ["string", {}]}, {"a": {"b": [1, None]}}, *(f"@raw{number}@" for number in range(len(RAW))),
)  # fmt: skip
KEYS = (
    "messages", "conversation", "conversations", "tools", "functions", "system", "role", "from", "content", "value",
    "tool_calls", "tool_call_id",
    "function_call", "function", "name", "arguments", "parameters", "properties", "required", "additionalProperties",
    "type", "id", "category",
    "instruction", "input", "output", "history", "prompt", "completion", "response", "question", "answer", "query",
    "context", "text", "chat",
    "docstring", "code", "language", "text/plain", "", "\x00", "weight",
)  # fmt: skip
ROLES = (
    "system",
    "user",
    "assistant",
    "tool",
    "human",
    "gpt",
    "function_call",
    "observation",
    "developer",
    "function",
    "robot",
    "",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "It.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "n": {"type": ["integer", "null"]}},
            "required": ["a"],
        },
    },
}
CALL_JSON = '{"name": "f", "arguments": {"a": "x"}}'
QWEN = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
    "provided with function signatures within <tools></tools> XML tags:\n"
)
FRAGMENTS = (
    f"<tool_call>\n{CALL_JSON}\n</tool_call>",
    "<tool_call>{'name': 'f', 'arguments': {'a': None}}</tool_call>",
    "<tool_call>",
    "</tool_call>",
    (
        "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=n>\n1\n</parameter>\n"
        "</function>\n</tool_call>"
    ),
    "<function=execute_code>\n<parameter=code>\nprint('</parameter>')\n</parameter>\n</function>",
    "<function=",
    "<function=f>",
    "</function>",
    "<parameter=a>",
    "</parameter>",
    f"```json\n{CALL_JSON}\n```",
    "```\n[]\n```",
    "```",
    "````",
    "`",
    "``",
    f"<functioncall> {CALL_JSON} <|endoftext|>",
    '<functioncall> {"name": "f", "arguments": \'{"a": "it\'s"}\'}',
    "<functioncall>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_start|>user\n",
    "<|im_end|>\n",
    "<|eot_id|>",
    "[INST]",
    "<tool_response>\nx\n</tool_response>",
    "<tool_response>",
    "</tool_response>",
    "Tool result: x",
    "Function output:\n",
    "USER: ",
    "\n\n\nASSISTANT: ",
    "\n\nFUNCTION RESPONSE: ",
    "SYSTEM: ",
    "<tools>",
    "</tools>",
    f"<tools>{json.dumps(TOOL)}</tools>",
    (
        "<tools>\n<function>\n<name>f</name>\n<description>d</description>\n<parameters>\n"
        "<parameter>\n<name>a</name>\n</parameter>\n</parameters>\n</function>\n</tools>"
    ),
    QWEN
    + (
        f"<tools>\n{json.dumps(TOOL)}\n</tools>\n\nFor each function call, return a json object "
        f"within <tool_call></tool_call> XML tags:\n<tool_call>\nx\n</tool_call>"
    ),
    (
        f"You have access, with access to the following functions. Use them if required -\n"
        f"{json.dumps(TOOL['function'])}\n"
    ),
    '{"',
    "[",
    "}",
    "'",
    '"',
    "\\",
    "\\u",
    "\\ud800",
    "\n",
    "\r\n",
    "\r",
    "\n\n\n",
    " ",
    "\t",
    "\ufeff",
    "\u2028",
    "\x00",
    "\x1c",
    "\x85",
    "\ud800",
    "é",
    "漢字",
    "привет как дела у вас сегодня",
    "İ",
    "😀",
    "me@mail.org 8.8.8.8",
    "-----BEGIN PRIVATE KEY-----",
    "sk-" + "a1" * 20,
    "```python\nprint 'x'\nxrange(3)\n```",
    "what does the function of this file return when nothing is found",
    "Look at a",
    "the same words again and again ",
    "Bonjour, comment allez-vous aujourd'hui mes amis",
    "x" * 60,
    "0",
)

short = st.text(max_size=8)
long = st.builds(lambda fragment, count: fragment * count, st.sampled_from(FRAGMENTS), st.sampled_from((50, 3000)))
texts = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS), short, st.sampled_from(FRAGMENTS), st.just(CALL_JSON)), max_size=6
).map("".join)
longer = st.tuples(texts, long, texts).map("".join)
words = st.integers(0, 39).flatmap(lambda number: texts if number else longer)
junk = st.sampled_from(JUNK)
arguments = st.one_of(
    st.just({"a": "x"}), st.just('{"a": "x"}'), st.dictionaries(st.sampled_from("an"), junk, max_size=2), words
)
call = st.one_of(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(("1", "call_1", "", None, 3)),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.sampled_from(("f", "g")), "arguments": arguments}),
        }
    ),
    st.fixed_dictionaries({"name": st.just("f"), "arguments": arguments}),
)
tools = st.one_of(
    st.just([TOOL]), st.just([TOOL["function"]]), st.just(json.dumps([TOOL])), st.lists(junk, max_size=2), junk
)


def turn(role: str, content: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for messages with these keys."""
    roles = st.sampled_from(("user", "assistant", "system", "user", "gpt", *ROLES[:10]))
    plain = st.fixed_dictionaries({role: roles, content: words})
    calls = st.fixed_dictionaries(
        {role: st.just("assistant"), content: st.one_of(words, st.none()), "tool_calls": st.lists(call, max_size=2)}
    )
    result = st.fixed_dictionaries(
        {role: st.just("tool"), content: words}, optional={"tool_call_id": st.sampled_from(("1", "call_1", 3, ""))}
    )
    parts = st.fixed_dictionaries(
        {role: roles, content: st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), max_size=2)}
    )
    return st.one_of(plain, plain, plain, calls, result, parts)


def messages(role: str = "role", content: str = "content") -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a strategy for lists of messages with these keys."""
    return st.lists(turn(role, content), min_size=1, max_size=5)


OPTIONAL_KEYS = {"tools": tools, "category": st.sampled_from(("a", "b")), "system": words, "x": junk}
CALL_STARTS = ("<tool_call>\n", "<function=execute_code>", "```json", "<functioncall> ")
calling = st.sampled_from(
    [fragment for fragment in FRAGMENTS if fragment.startswith(CALL_STARTS) and len(fragment) > 20]
)


def conversation_with_call(text: str, before: str, result: str, role: str, has_tools: bool) -> dict[str, Any]:
    """Return a conversation with a call in the text of the assistant, and its result."""
    turns = [
        ("user", "Look at a"),
        ("assistant", f"{before}\n{text}"),
        (role, f"<tool_response>\n{result}\n</tool_response>"),
        ("assistant", "x"),
    ]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    return row | ({"tools": [TOOL]} if has_tools else {})


def conversation_with_tools(texts: list[str], tools: Any, value: Any) -> dict[str, Any]:
    """Return a conversation with any value as its tools."""
    messages = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    return {"messages": messages, "tools": tools, "x": value}


LABELS = ("USER: ", "\n\n\nASSISTANT: ", "\n\n\nFUNCTION RESPONSE: ")
labeled = st.lists(st.tuples(st.sampled_from(LABELS), words).map("".join), min_size=1, max_size=4).map("".join)
chatml = st.lists(st.builds("<|im_start|>{}\n{}<|im_end|>\n".format, st.sampled_from(ROLES), words), max_size=4)
CHAT = {"messages": [{"role": "user", "content": "Look at a"}, {"role": "assistant", "content": "It is 1."}]}
ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "messages": st.fixed_dictionaries({"messages": messages()}, optional=OPTIONAL_KEYS),
    "sharegpt": st.fixed_dictionaries({"conversations": messages("from", "value")}, optional=OPTIONAL_KEYS),
    "alpaca": st.fixed_dictionaries(
        {"instruction": words, "output": words},
        optional=OPTIONAL_KEYS
        | {"input": words, "history": st.lists(st.lists(words, min_size=2, max_size=2), max_size=2)},
    ),
    "prompt-completion": st.one_of(
        st.fixed_dictionaries({"prompt": st.one_of(words, messages()), "completion": words}, optional=OPTIONAL_KEYS),
        st.fixed_dictionaries({"question": words, "answer": words}),
    ),
    "text": st.fixed_dictionaries({"text": st.one_of(words, chatml.map("".join))}, optional=OPTIONAL_KEYS),
    "glaive": st.fixed_dictionaries({"chat": labeled}, optional=OPTIONAL_KEYS),
    "code": st.fixed_dictionaries(
        {"docstring": words, "code": words}, optional={"func_name": words, "language": words}
    ),
    "chat": st.just(CHAT),
    "shapes": st.sampled_from([record for _, record, _ in SHAPES]),
    "call in text": st.builds(
        conversation_with_call, calling, words, words, st.sampled_from(("tool", "user")), st.booleans()
    ),
    "any tools": st.builds(
        conversation_with_tools, st.lists(words, min_size=1, max_size=4), st.one_of(st.none(), tools), junk
    ),
}


@st.composite
def rows(draw: st.DrawFn) -> str:
    """Draw the JSON text of a row, valid or damaged."""
    row = deepcopy(draw(st.sampled_from(sorted(ROWS)).flatmap(ROWS.__getitem__)))
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2, 4)))):
        damage(row, draw(st.randoms(use_true_random=False)), deepcopy(draw(junk)))
    text = json.dumps(
        row, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from(((",", ":"), (", ", ": "))))
    )
    return re.sub(r'"@raw(\d+)@"', lambda match: RAW[int(match[1])], text)


def damage(row: Any, rng: random.Random, value: Any) -> None:
    """Change one value, or add, remove or rename one key, at any depth of a row."""
    node = row
    while True:
        inner = [
            item
            for item in (node.values() if isinstance(node, dict) else node)
            if isinstance(item, dict | list) and item
        ]
        if not inner or rng.random() < 0.3:
            break
        node = rng.choice(inner)
    if isinstance(node, list):
        index = rng.randrange(len(node) + 1)
        node[index : index + rng.randrange(2)] = [value]
        return
    key = rng.choice([*node] or ["x"])
    match rng.randrange(4):
        case 0 | 1:
            node[key] = value
        case 2:
            node.pop(key, None)
        case 3:
            node[rng.choice(KEYS)] = node.pop(key, value) if rng.random() < 0.5 else value
