"""Rows for the fuzz run, as Hypothesis draws them: conversations in every dialect, well and badly made.

A row is drawn as plain Python. What Python would not write into JSON (a key twice, a number of 5000 digits, 3000 brackets) is put in
its text in place of a mark, `@raw7@`.
"""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

RAW = (
    "NaN", "-Infinity", "1e400", "-0.0", "1.0", "18446744073709551615", "18446744073709551616", "-9223372036854775809", "1" * 400,
    "9" * 5000, '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '{"a": 1, "a": 2}', '{"role": "user", "role": "tool"}', "[" * 500 + "]" * 500,
    "[" * 3000 + "]" * 3000, '{"a":' * 600 + "1" + "}" * 600, "[" * 900 + "{}" + "]" * 900, "", "\x00", "[1,]", "'a'", "True", '"\\x41"', '"a\tb"',
)  # fmt: skip
JUNK = (
    None, True, False, 0, -1, 7, 2**31, 2**63, 2**64, 10**30, 0.5, 1e300, "", " ", "x", "\ud800", "\x00", "null", "[]", "{}", "[1]", '{"name": 1}',
    '{"name": "f", "arguments": {}}', [], {}, [None], [[]], [{}], ["a"], [{"name": "f"}], {"name": "f"}, {"function": None},
    {"function": {"name": "f", "parameters": []}}, {"type": "function", "function": {"name": "f", "parameters": {"properties": [], "required": 1}}},
    {"type": ["string", {}]}, {"a": {"b": [1, None]}}, *(f"@raw{number}@" for number in range(len(RAW))),
)  # fmt: skip
KEYS = (
    "messages", "conversation", "conversations", "tools", "functions", "system", "role", "from", "content", "value", "tool_calls", "tool_call_id",
    "function_call", "function", "name", "arguments", "parameters", "properties", "required", "additionalProperties", "type", "id", "category",
    "instruction", "input", "output", "history", "prompt", "completion", "response", "question", "answer", "query", "context", "text", "chat",
    "docstring", "code", "language", "text/plain", "", "\x00", "weight",
)  # fmt: skip
ROLES = ("system", "user", "assistant", "tool", "human", "gpt", "function_call", "observation", "developer", "function", "robot", "")  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "description": "It.", "parameters": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": ["integer", "null"]}}, "required": ["a"]}}}  # fmt: skip
CALLED = '{"name": "f", "arguments": {"a": "x"}}'
QWEN = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n"
PIECES = (
    f"<tool_call>\n{CALLED}\n</tool_call>", "<tool_call>{'name': 'f', 'arguments': {'a': None}}</tool_call>", "<tool_call>", "</tool_call>",
    "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>",
    "<function=execute_code>\n<parameter=code>\nprint('</parameter>')\n</parameter>\n</function>", "<function=", "<function=f>", "</function>",
    "<parameter=a>", "</parameter>", f"```json\n{CALLED}\n```", "```\n[]\n```", "```", "````", "`", "``", f"<functioncall> {CALLED} <|endoftext|>",
    "<functioncall> {\"name\": \"f\", \"arguments\": '{\"a\": \"it's\"}'}", "<functioncall>", "<|endoftext|>", "<|im_start|>", "<|im_start|>user\n",
    "<|im_end|>\n", "<|eot_id|>", "[INST]", "<tool_response>\nx\n</tool_response>", "<tool_response>", "</tool_response>", "Tool result: x", "Function output:\n",
    "USER: ", "\n\n\nASSISTANT: ", "\n\nFUNCTION RESPONSE: ", "SYSTEM: ", "<tools>", "</tools>", f"<tools>{json.dumps(TOOL)}</tools>",
    "<tools>\n<function>\n<name>f</name>\n<description>d</description>\n<parameters>\n<parameter>\n<name>a</name>\n</parameter>\n</parameters>\n</function>\n</tools>",
    QWEN + f"<tools>\n{json.dumps(TOOL)}\n</tools>\n\nFor each function call, return a json object within <tool_call></tool_call> XML tags:\n<tool_call>\nx\n</tool_call>",
    f"You have access, with access to the following functions. Use them if required -\n{json.dumps(TOOL['function'])}\n", '{"', "[", "}", "'", '"', "\\", "\\u", "\\ud800",
    "\n", "\r\n", "\r", "\n\n\n", " ", "\t", "\ufeff", "\u2028", "\x00", "\x1c", "\x85", "\ud800", "é", "漢字", "привет как дела у вас сегодня", "İ", "😀",
    "me@mail.org 8.8.8.8", "-----BEGIN PRIVATE KEY-----", "sk-" + "a1" * 20, "```python\nprint 'x'\nxrange(3)\n```", "what does the function of this file return when nothing is found",
    "Look at a", "the same words again and again ", "Bonjour, comment allez-vous aujourd'hui mes amis", "x" * 60, "0",
)  # fmt: skip

short = st.text(max_size=8)
long = st.builds(lambda piece, count: piece * count, st.sampled_from(PIECES), st.sampled_from((50, 3000)))
texts = st.lists(st.one_of(st.sampled_from(PIECES), short, st.sampled_from(PIECES), st.just(CALLED)), max_size=6).map(
    "".join
)
longer = st.tuples(texts, long, texts).map("".join)
words = st.integers(0, 39).flatmap(lambda number: texts if number else longer)
junk = st.sampled_from(JUNK)
arguments = st.one_of(
    st.just({"a": "x"}), st.just('{"a": "x"}'), st.dictionaries(st.sampled_from("an"), junk, max_size=2), words
)
call = st.one_of(
    st.fixed_dictionaries({"id": st.sampled_from(("1", "call_1", "", None, 3)), "type": st.just("function"), "function": st.fixed_dictionaries({"name": st.sampled_from(("f", "g")), "arguments": arguments})}),
    st.fixed_dictionaries({"name": st.just("f"), "arguments": arguments}),
)  # fmt: skip
tools = st.one_of(
    st.just([TOOL]), st.just([TOOL["function"]]), st.just(json.dumps([TOOL])), st.lists(junk, max_size=2), junk
)


def turn(role: str, content: str) -> st.SearchStrategy[dict[str, Any]]:
    """A message: `role` and `content` name its keys."""
    roles = st.sampled_from(("user", "assistant", "system", "user", "gpt", *ROLES[:10]))
    plain = st.fixed_dictionaries({role: roles, content: words})
    calls = st.fixed_dictionaries({role: st.just("assistant"), content: st.one_of(words, st.none()), "tool_calls": st.lists(call, max_size=2)})  # fmt: skip
    result = st.fixed_dictionaries({role: st.just("tool"), content: words}, optional={"tool_call_id": st.sampled_from(("1", "call_1", 3, ""))})  # fmt: skip
    parts = st.fixed_dictionaries({role: roles, content: st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), max_size=2)})  # fmt: skip
    return st.one_of(plain, plain, plain, calls, result, parts)


def talk(role: str = "role", content: str = "content") -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(turn(role, content), min_size=1, max_size=5)


MORE = {"tools": tools, "category": st.sampled_from(("a", "b")), "system": words, "x": junk}
STARTS = ("<tool_call>\n", "<function=execute_code>", "```json", "<functioncall> ")
calling = st.sampled_from([piece for piece in PIECES if piece.startswith(STARTS) and len(piece) > 20])


def called(text: str, before: str, result: str, role: str, declares: bool) -> dict[str, Any]:
    """A conversation whose assistant calls a tool in its text, and is answered."""
    said = [
        ("user", "Look at a"),
        ("assistant", f"{before}\n{text}"),
        (role, f"<tool_response>\n{result}\n</tool_response>"),
        ("assistant", "x"),
    ]
    row = {"messages": [{"role": who, "content": what} for who, what in said]}
    return row | ({"tools": [TOOL]} if declares else {})


def talked(said: list[str], declared: Any, more: Any) -> dict[str, Any]:
    """A plain conversation, with whatever is said to be its tools."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    return {"messages": messages, "tools": declared, "x": more}


LABELS = ("USER: ", "\n\n\nASSISTANT: ", "\n\n\nFUNCTION RESPONSE: ")
labelled = st.lists(st.tuples(st.sampled_from(LABELS), words).map("".join), min_size=1, max_size=4).map("".join)
chatml = st.lists(st.builds("<|im_start|>{}\n{}<|im_end|>\n".format, st.sampled_from(ROLES), words), max_size=4)
CHAT = {"messages": [{"role": "user", "content": "Look at a"}, {"role": "assistant", "content": "It is 1."}]}
ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "messages": st.fixed_dictionaries({"messages": talk()}, optional=MORE),
    "sharegpt": st.fixed_dictionaries({"conversations": talk("from", "value")}, optional=MORE),
    "alpaca": st.fixed_dictionaries({"instruction": words, "output": words}, optional=MORE | {"input": words, "history": st.lists(st.lists(words, min_size=2, max_size=2), max_size=2)}),
    "prompt-completion": st.one_of(st.fixed_dictionaries({"prompt": st.one_of(words, talk()), "completion": words}, optional=MORE), st.fixed_dictionaries({"question": words, "answer": words})),
    "text": st.fixed_dictionaries({"text": st.one_of(words, chatml.map("".join))}, optional=MORE),
    "glaive": st.fixed_dictionaries({"chat": labelled}, optional=MORE),
    "code": st.fixed_dictionaries({"docstring": words, "code": words}, optional={"func_name": words, "language": words}),
    "chat": st.just(CHAT),
    "called": st.builds(called, calling, words, words, st.sampled_from(("tool", "user")), st.booleans()),
    "talked": st.builds(talked, st.lists(words, min_size=1, max_size=4), st.one_of(st.none(), tools), junk),
}  # fmt: skip


@st.composite
def rows(draw: st.DrawFn) -> str:
    """The JSON text of a row, well or badly made."""
    row = deepcopy(draw(st.sampled_from(sorted(ROWS)).flatmap(ROWS.__getitem__)))
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2, 4)))):
        spoil(row, draw(st.randoms(use_true_random=False)), deepcopy(draw(junk)))
    text = json.dumps(
        row, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from(((",", ":"), (", ", ": "))))
    )
    return re.sub(r'"@raw(\d+)@"', lambda mark: RAW[int(mark[1])], text)


def spoil(row: Any, chance: random.Random, other: Any) -> None:
    """Change one thing somewhere in a row: another value, one key less, more, or of another name."""
    at = row
    while True:
        inner = [
            value for value in (at.values() if isinstance(at, dict) else at) if isinstance(value, dict | list) and value
        ]
        if not inner or chance.random() < 0.3:
            break
        at = chance.choice(inner)
    if isinstance(at, list):
        place = chance.randrange(len(at) + 1)
        at[place : place + chance.randrange(2)] = [other]
        return
    key = chance.choice([*at] or ["x"])
    match chance.randrange(4):
        case 0 | 1:
            at[key] = other
        case 2:
            at.pop(key, None)
        case 3:
            at[chance.choice(KEYS)] = at.pop(key, other) if chance.random() < 0.5 else other
