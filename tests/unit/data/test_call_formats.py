"""Laws of the formats of calls: what a template writes is read back equal, half a call is malformed."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from punie_build.data.call_formats import CallReader, ReadTurn, call_reader
from punie_build.models.served_template import ChatTemplate
from punie_build.models.thoughts import without_thoughts
from tests.support.call_families import CALL_FAMILIES
from tests.support.template_families import FamilyTokenizer

TYPES = {"text": "string", "count": "integer", "share": "number", "deep": "object", "many": "array", "on": "boolean"}
PARAMETERS = {"type": "object", "properties": {name: {"type": type_} for name, type_ in TYPES.items()}}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "Look.", "parameters": PARAMETERS}}
    for name in ("look", "find_2")
]
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "none": [{}],
    "one": [{"text": "a.py"}],
    "types": [{"text": "5", "count": -3, "share": 0.25, "on": True, "many": [1, "x"]}],
    "parallel": [{"text": "a.py"}, {"count": 2}],
    "nested": [{"deep": {"a": {"b": [1, {"c": "d"}], "e": "f, g: h"}, "i": True}}],
    "unicode": [{"text": "Grüße 東京 🙂"}],
    "quotes": [{"text": 'say "hi" it\'s \\n a \\ back }] ) {[('}],
    "lines": [{"text": "def f():\n    return {'a': 1}"}],
    "tags": [{"text": "<b>a</b> </parameter <x"}],
}
WORDS = "Let me look at this."
ONE_CALL = {"Llama 3", "gpt-oss"}  # their templates refuse parallel calls


def messages(calls: list[dict[str, Any]], words: str = "") -> list[dict[str, Any]]:
    entries = [
        {"id": f"call{order:05}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for order, (name, arguments) in enumerate(zip(("look", "find_2"), calls, strict=False))
    ]
    return [{"role": "user", "content": "Go"}, {"role": "assistant", "content": words, "tool_calls": entries}]


def generated(family: str, calls: list[dict[str, Any]], words: str = "") -> str:
    """Return the text that a base of a family has to generate for a turn."""
    row = ChatTemplate(FamilyTokenizer(CALL_FAMILIES[family])).render(messages(calls, words), TOOLS)
    [(text, turn)] = row.turns()
    return without_thoughts(text.generated(turn))


def reader(family: str) -> CallReader:
    return call_reader(CALL_FAMILIES[family].template, ())


def calls_in(turn: ReadTurn) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in turn.calls]


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_a_turn_with_calls_is_read_back_equal(family, arguments):
    calls = ARGUMENTS[arguments]
    if len(calls) > 1 and family in ONE_CALL:
        with pytest.raises(Exception, match="at a time"):
            generated(family, calls)
        return
    for words in ("", WORDS):
        text = generated(family, calls, words)
        turn = reader(family).read(text, TOOLS)
        assert calls_in(turn) == list(zip(("look", "find_2"), calls, strict=False)), text
        assert turn.malformed == 0
        assert turn.text == (words if words in text else "")


@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_a_call_cut_short_is_malformed_and_never_text(family):
    text = generated(family, [{"text": "a.py", "deep": {"b": [1, 2]}}]).rstrip()
    for length in range(text.index("look") + 6, text.index("b", text.index("deep"))):
        turn = reader(family).read(text[:length], TOOLS)
        assert turn.malformed >= 1, text[:length]
        assert turn.calls == ()


@pytest.mark.parametrize(
    "text", ["", "Blue.", '{"answer": 3}', "[1, 2]", "f(x) = x", "Use a list [look] here.", "a { b"]
)
@pytest.mark.parametrize("family", CALL_FAMILIES)
def test_an_answer_without_a_call_stays_as_it_is(family, text):
    assert reader(family).read(text, TOOLS) == ReadTurn(text)


SERVED: dict[str, set[str]] = {  # family -> arguments that mlx-lm's parser reads otherwise than they were written
    "Mistral v3": set(),
    "Mistral Tekken": set(),
    "Mistral v11": set(),
    "Mistral Small 3.2": set(ARGUMENTS),  # it takes the id of a call for its name
    "Hermes": set(),
    "Qwen3-Coder": set(),
    "Gemma 4": set(),
    "FunctionGemma": {"lines", "quotes", "types", "nested"},
    "GLM": set(),
    "LongCat": {"none"},
    "Kimi K2": set(),
    "MiniMax M2": set(),
    "Muse": {"types"},  # it reads the string "5" as a number
    "MiniCPM5": set(),
    "LFM2.5": set(),
}


def server_calls(family: str, text: str) -> list[tuple[str, Any]] | None:
    """Return the calls that mlx-lm's parser reads in a turn, None where it fails."""
    from punie_build.data.template_roundtrip import parse_calls

    module = importlib.import_module(f"mlx_lm.tool_parsers.{mlx_parser(family)}")
    tokenizer = SimpleNamespace(
        tool_call_start=module.tool_call_start, tool_call_end=module.tool_call_end, tool_parser=module.parse_tool_call
    )
    try:
        return parse_calls(tokenizer, text, TOOLS)
    except Exception:  # parsers can raise any error
        return None


def mlx_parser(family: str) -> str | None:
    from mlx_lm.tokenizer_utils import _infer_tool_parser

    template = SimpleNamespace(chat_template=CALL_FAMILIES[family].template, get_vocab=dict)
    return _infer_tool_parser(template)


def test_the_families_with_a_parser_are_those_of_mlx_lm():
    parsed = {family for family in CALL_FAMILIES if mlx_parser(family)}
    assert parsed == set(SERVED) == {family for family in CALL_FAMILIES if reader(family).served}
    assert call_reader("", {"<|tool_call_start|>", "<|tool_call_end|>"}).served


@pytest.mark.parametrize("family", SERVED)
def test_the_parser_of_the_server_agrees(family):
    unlike = set()
    for name, calls in ARGUMENTS.items():
        text = generated(family, calls)
        if server_calls(family, text) != calls_in(reader(family).read(text, TOOLS)):
            unlike.add(name)
    assert unlike == SERVED[family]


@pytest.mark.parametrize("value", ["{1, 2}", "b'x'", "1j", "{[]: 1}", "{1: 2}", "...", "other", "f(1)", "1e999", "*x"])
def test_values_that_json_lacks_are_malformed(value):
    assert reader("LFM2.5").read(f"<|tool_call_start|>[look(a={value})]<|tool_call_end|>").malformed == 1
    assert reader("LFM2.5").read(f"<|tool_call_start|>[look({value})]<|tool_call_end|>").malformed == 1


def test_the_tools_that_a_base_calls_are_written_in_python_too():
    """Llama calls its own tools so, and lists hold true and null as JSON has them."""
    turn = reader("Llama 3").read('<|python_tag|>search.call(query="a \\d", more=(1, true, None))')
    assert calls_in(turn) == [("search.call", {"query": "a \\d", "more": [1, True, None]})]


def test_an_answer_of_command_r_is_no_call_of_its_tool():
    text = 'Action: ```json\n[{"tool_name": "directly_answer", "parameters": {}}]```'
    assert (reader("Command R").read(text).calls, reader("Command R").read(text).malformed) == ((), 0)


def test_a_mark_of_the_vocabulary_is_read_beside_plain_json():
    """Llama 3.2 writes calls as plain JSON, and its vocabulary has a mark for them."""
    base = call_reader(CALL_FAMILIES["plain JSON"].template, {"<|python_tag|>", "<|eot_id|>"})
    for text in ('{"name": "look", "parameters": {}}', '<|python_tag|>{"name": "look", "parameters": {}}'):
        assert calls_in(base.read(text)) == [("look", {})]
    assert call_reader("", {"[TOOL_CALLS]"}).name == "Mistral"
    assert call_reader("", ()).name == "<tool_call>"
