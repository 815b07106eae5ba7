"""A conversation that is written in a dialect is converted back to the same conversation."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.dialects.normalize import to_canonical
from tests.support.chat_rows import FENCE, HERMES, XML, Record, assistant, result, system, user

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
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


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
    r"</?tool_call>|</?tool_response>|</?function(=\w*)?>|<function=|</?parameter(=\w*)?>|"
    r"<functioncall>|<\|endoftext\|>|`+(json)?|(?i:(tool|function) (result|response|output)s?:)|"
    r"SYSTEM:|\W"
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
    calls = [call for message in canonical["messages"] for call in functions(message)]
    output = [message["content"] for message in canonical["messages"]]
    output += [f"{name} {json.dumps(arguments, ensure_ascii=False)}" for name, arguments in calls]
    assert letters(" ".join(output)) == letters("".join(text for _, text in parts))
