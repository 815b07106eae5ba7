"""The syntaxes of calls as elements whose tags are marks of a vocabulary: MiniMax M3 and Kimi K3."""

from __future__ import annotations

import re
from typing import Any

from punie_build.data.call_syntax import Found, Properties, typed
from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.json_values import parse_strict, to_arguments

_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


def minimax_m3(text: str, start: int, properties: Properties) -> Found:
    """Parse `<invoke name="..">` elements whose tags stand behind the mark of a namespace."""
    calls, position = list[ToolCall](), start
    opening = re.compile(rf'\s*{re.escape(NAMESPACE)}<invoke name="([^"]+)">')
    while match := opening.match(text, position):
        schema = {"properties": properties.get(match[1], {})}
        value, position = _element(text, match.end(), "invoke", schema)
        if not isinstance(value, dict) and value != "":
            raise ValueError(f"arguments of {match[1]} that are no elements")
        calls.append(ToolCall(match[1], value or {}))
    if not calls:
        raise ValueError("no call")
    return calls, position


NAMESPACE = "]<]minimax[>["


def _element(text: str, start: int, tag: str, schema: Any) -> tuple[Any, int]:
    """Parse the value of an element behind its opening tag, and return it with the position behind the closing tag."""
    children, position = list[tuple[str, Any]](), start
    opening = re.compile(rf"\s*{re.escape(NAMESPACE)}<([^/>][^>]*)>")
    while match := opening.match(text, position):
        value, position = _element(text, match.end(), match[1], _part(schema, match[1]))
        children.append((match[1], value))
    end = text.find(f"{NAMESPACE}</{tag}>", position)
    if end < 0 or (inside := text[position:end]).count(NAMESPACE) or (children and inside.strip()):
        raise ValueError(f"an element {tag} that is never closed")
    value = typed(inside, schema) if not children else dict(children)
    if children and {name for name, _ in children} == {"item"}:
        value = [item for _, item in children]
    return value, end + len(f"{NAMESPACE}</{tag}>")


def _part(schema: Any, name: str) -> Any:
    if not isinstance(schema, dict):
        return None
    return schema.get("items") if name == "item" else (schema.get("properties") or {}).get(name)


def kimi_k3(text: str, start: int, properties: Properties) -> Found:
    """Parse `call` elements, with an `argument` element for each argument or one `json` element for all."""
    calls, position = list[ToolCall](), start
    opening = re.compile(r"\s*<\|open\|>call((?:(?!<\|).)*)<\|sep\|>")
    argument = re.compile(r"\s*<\|open\|>(argument|json)((?:(?!<\|).)*)<\|sep\|>(.*?)<\|close\|>\1<\|sep\|>", re.DOTALL)
    while match := opening.match(text, position):
        name, arguments, position = _attributes(match[1]).get("tool", ""), dict[str, Any](), match.end()
        while part := argument.match(text, position):
            own = _attributes(part[2])
            if part[1] == "json":
                arguments.update(to_arguments(parse_strict(part[3])))
            else:
                is_text = own.get("type", "string") == "string"
                arguments[own.get("key", "")] = part[3] if is_text else parse_strict(part[3])
            position = part.end()
        if not text.startswith(_CALL_END, position) or not name:
            raise ValueError("a call without a name, or never closed")
        calls.append(ToolCall(name, arguments))
        position += len(_CALL_END)
    if not calls:
        raise ValueError("no call")
    return calls, position


_CALL_END = "<|close|>call<|sep|>"


def _attributes(text: str) -> dict[str, str]:
    return {key: value.replace("&quot;", '"').replace("&amp;", "&") for key, value in _ATTRIBUTE.findall(text)}
