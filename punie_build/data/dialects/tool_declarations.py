"""Tools: their declarations in OpenAI's form, from wherever they stand, a system prompt not excepted."""

from __future__ import annotations

import re
from typing import Any

from punie_build.data.dialects.glaive import ANNOUNCED, SYSTEM
from punie_build.data.tool_call_markup import brief, value_at, value_of

_NEXT_VALUE = re.compile(r"[\s,]*(?=[{\[])")
_TOOLS = r"<tools>(?!\s*</tools>)(.*?)</tools>"
_PROMPTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (  # as Qwen's templates write them: the next template writes its own
        r"# Tools\n\nYou may call one or more functions[^<]*<tools></tools> XML tags:\n"
        + _TOOLS
        + r"\n\nFor each function call, return a json object[^<]*<tool_call></tool_call> XML tags:\n<tool_call>\n[^\n]*\n</tool_call>",
        r"# Tools\n\nYou have access to the following (?:functions|tools):\n\n"
        + _TOOLS
        + r"\n\nIf you choose to call a function ONLY reply.*?</IMPORTANT>",
        _TOOLS,
    )
)


def declarations(value: Any) -> list[dict[str, Any]]:
    """Tools in OpenAI's form, from a list of them, of bare functions, or its JSON text."""
    if isinstance(value, str):
        value = value_of(value) if value.strip() else []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list of tools belongs")
    return [declaration(item) for item in value]


def declaration(item: Any) -> dict[str, Any]:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"a tool without a name: {brief(item)}")
    if function is not item:
        return item if "type" in item else {"type": "function", **item}
    return {
        "type": "function",
        "function": {key: value for key, value in item.items() if (key, value) != ("type", "function")},
    }


def in_a_row(text: str, at: int = 0) -> tuple[list[Any], int]:
    """The JSON values that stand one after another in a text, from `at`, and where they end."""
    found: list[Any] = []
    while opening := _NEXT_VALUE.match(text, at):
        value, at = value_at(text, opening.end())
        found += value if isinstance(value, list) else [value]
    return found, at


def declared(prompt: str, markups: frozenset[str]) -> tuple[list[dict[str, Any]], str]:
    """The tools a system prompt declares, and the prompt without them and without the wording that announces them."""
    found: list[Any] = []
    glaive, tagged = "glaive" in markups, markups & {"hermes", "qwen3-coder", "code-mode"}
    while True:  # what is cut out may leave what is to be cut out: mostly once, and once more to see that there is none
        tools, rest = _announced(prompt) if glaive else ([], prompt)
        for pattern in _PROMPTS if tagged and "</tools>" in rest else ():
            more, rest = _tagged(rest, pattern)
            tools += more
        if rest == prompt:
            return [declaration(tool) for tool in found], prompt
        found += tools
        prompt = SYSTEM.sub("", rest) if glaive else rest  # a label that stood behind them begins the prompt now


def _announced(prompt: str) -> tuple[list[Any], str]:
    """The tools that follow glaive's announcement, and the prompt without both."""
    tools: list[Any] = []
    words, at = [], 0
    while announced := ANNOUNCED.search(prompt, at):
        words.append(prompt[at : announced.start()])
        some, at = in_a_row(prompt, announced.end())
        tools += some
    if not words:
        return [], prompt
    first, *others = *words, prompt[at:]
    return tools, "\n\n".join(filter(None, (first, *map(str.strip, others))))


def _tagged(prompt: str, pattern: re.Pattern[str]) -> tuple[list[Any], str]:
    """The tools in the blocks that match, and the prompt without them."""
    tools: list[Any] = []
    words, at = [], 0
    for block in pattern.finditer(prompt):
        if block[1].strip()[0] in "{[<":
            tools += _block(block[1].strip())
            words.append(prompt[at : block.start()].strip())
            at = block.end()
    return (tools, "\n\n".join(filter(None, (*words, prompt[at:].strip())))) if at else ([], prompt)


def _block(text: str) -> list[Any]:
    if text.startswith("<"):
        return [_from_xml(body) for body in re.findall(r"<function>(.*?)</function>", text, re.DOTALL)]
    try:
        tools, end = in_a_row(text)
    except ValueError:
        return declarations(text)
    if after := text[end:].strip():
        raise ValueError(f"more than tools within <tools>: {after[:40]!r}")
    return tools


def _from_xml(body: str) -> dict[str, Any]:
    """A tool as the template of Qwen3-Coder writes it."""
    head, _, tail = body.partition("<parameters>")
    inner, _, tail = tail.rpartition("</parameters>")
    properties = {}
    for fields in re.findall(r"<parameter>(.*?)</parameter>", inner, re.DOTALL):
        schema = _fields(fields)
        properties[schema.pop("name")] = schema
    parameters = {"type": "object", "properties": properties} | _fields(
        re.sub(r"<parameter>.*</parameter>", "", inner, flags=re.DOTALL)
    )
    return declaration(_fields(head) | {"parameters": parameters} | _fields(tail))


def _fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in re.findall(r"<(\w+)>(.*?)</\1>", text, re.DOTALL):
        as_text = key in ("name", "description") or (key == "type" and not value.startswith("["))
        found[key] = value if as_text else value_of(value)
    return found
