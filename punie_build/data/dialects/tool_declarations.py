"""Declarations of tools in OpenAI's form, from lists, JSON text and system prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from punie_build.data.dialects.glaive import SYSTEM_LABEL, TOOLS_ANNOUNCEMENT
from punie_build.data.tool_call_markup.json_values import parse_value, parse_value_at, preview

_NEXT_VALUE = re.compile(r"[\s,]*(?=[{\[])")
_TOOLS = r"<tools>(?!\s*</tools>)(.*?)</tools>"
_PROMPTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (  # as the chat templates of Qwen write them; the template of the base writes its own
        r"# Tools\n\nYou may call one or more functions[^<]*<tools></tools> XML tags:\n"
        + _TOOLS
        + r"\n\nFor each function call, return a json object[^<]*<tool_call></tool_call> XML tags:"
        + r"\n<tool_call>\n[^\n]*\n</tool_call>",
        r"# Tools\n\nYou have access to the following (?:functions|tools):\n\n"
        + _TOOLS
        + r"\n\nIf you choose to call a function ONLY reply.*?</IMPORTANT>",
        _TOOLS,
    )
)


def with_type_names(value: Any, rename: Callable[[str], str]) -> Any:
    """Return declarations with each name of a type renamed: several formats have other names than JSON Schema."""
    if isinstance(value, list):
        return [with_type_names(item, rename) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: rename(item) if key == "type" and isinstance(item, str) else with_type_names(item, rename)
        for key, item in value.items()
    }


def to_declarations(value: Any) -> list[dict[str, Any]]:
    """Return tools in OpenAI's form, from a list of tools or bare functions, or its JSON text."""
    if isinstance(value, str):
        value = parse_value(value) if value.strip() else []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} instead of a list of tools")
    return [to_declaration(item) for item in value]


def to_declaration(item: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's form, from a tool or a bare function."""
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"a tool without a name: {preview(item)}")
    if function is not item:
        return item if "type" in item else {"type": "function", **item}
    return {
        "type": "function",
        "function": {key: value for key, value in item.items() if (key, value) != ("type", "function")},
    }


def _parse_values(text: str, start: int = 0) -> tuple[list[Any], int]:
    """Parse consecutive JSON values from `start`, with the items of arrays, and return them with their end."""
    values: list[Any] = []
    while head := _NEXT_VALUE.match(text, start):
        value, start = parse_value_at(text, head.end())
        values += value if isinstance(value, list) else [value]
    return values, start


def extract_tools(prompt: str, markups: frozenset[str]) -> tuple[list[dict[str, Any]], str]:
    """Return the tools that a system prompt declares, and the prompt without them and their announcement."""
    tools: list[Any] = []
    has_glaive, has_tags = "glaive" in markups, markups & {"hermes", "qwen3-coder", "code-mode"}
    while True:  # removing a block may join text to a new block; usually the second pass finds no block
        block_tools, rest = _extract_announced(prompt) if has_glaive else ([], prompt)
        for pattern in _PROMPTS if has_tags and "</tools>" in rest else ():
            tagged_tools, rest = _extract_tagged(rest, pattern)
            block_tools += tagged_tools
        if rest == prompt:
            return [to_declaration(tool) for tool in tools], prompt
        tools += block_tools
        prompt = SYSTEM_LABEL.sub("", rest) if has_glaive else rest  # a label after the tools now begins the prompt


def _extract_announced(prompt: str) -> tuple[list[Any], str]:
    """Return the tools after Glaive's announcements, and the prompt without both."""
    tools: list[Any] = []
    texts, position = [], 0
    while announcement := TOOLS_ANNOUNCEMENT.search(prompt, position):
        texts.append(prompt[position : announcement.start()])
        values, position = _parse_values(prompt, announcement.end())
        tools += values
    if not texts:
        return [], prompt
    first, *others = *texts, prompt[position:]
    return tools, "\n\n".join(filter(None, (first, *map(str.strip, others))))


def _extract_tagged(prompt: str, pattern: re.Pattern[str]) -> tuple[list[Any], str]:
    """Return the tools in the blocks that match, and the prompt without the blocks."""
    tools: list[Any] = []
    texts, position = [], 0
    for block in pattern.finditer(prompt):
        if block[1].strip()[0] in "{[<":
            tools += _parse_block(block[1].strip())
            texts.append(prompt[position : block.start()].strip())
            position = block.end()
    return (tools, "\n\n".join(filter(None, (*texts, prompt[position:].strip())))) if position else ([], prompt)


def _parse_block(text: str) -> list[Any]:
    if text.startswith("<"):
        return [_parse_xml_tool(body) for body in re.findall(r"<function>(.*?)</function>", text, re.DOTALL)]
    try:
        tools, end = _parse_values(text)
    except ValueError:
        return to_declarations(text)
    if rest := text[end:].strip():
        raise ValueError(f"text other than tools within <tools>: {rest[:40]!r}")
    return tools


def _parse_xml_tool(body: str) -> dict[str, Any]:
    """Parse a tool as the template of Qwen3-Coder writes it."""
    head, _, tail = body.partition("<parameters>")
    inner, _, tail = tail.rpartition("</parameters>")
    properties = {}
    for parameter in re.findall(r"<parameter>(.*?)</parameter>", inner, re.DOTALL):
        schema = _xml_fields(parameter)
        properties[schema.pop("name")] = schema
    parameters = {"type": "object", "properties": properties} | _xml_fields(
        re.sub(r"<parameter>.*</parameter>", "", inner, flags=re.DOTALL)
    )
    return to_declaration(_xml_fields(head) | {"parameters": parameters} | _xml_fields(tail))


def _xml_fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in re.findall(r"<(\w+)>(.*?)</\1>", text, re.DOTALL):
        is_text = key in ("name", "description") or (key == "type" and not value.startswith("["))
        fields[key] = value if is_text else parse_value(value)
    return fields
