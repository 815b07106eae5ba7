"""Calls in the markup of Qwen3-Coder and Llama: `<function=name>` with a `<parameter=key>` for each argument."""

from __future__ import annotations

import re
from typing import Any

from punie_build.data.example import ToolCall
from punie_build.data.json_schema import JSON_TYPES
from punie_build.data.tool_call_markup.json_values import JSON_LITERALS, parse_strict, parse_value, to_arguments
from punie_build.data.tool_call_markup.span import FIX_HINT, ParseContext, Span, starts_line, strip_line_breaks

_FUNCTION = re.compile(r"<function=([^<>\s]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=[^<>\n]+>|\Z))", re.DOTALL)
_TYPES = {name: types for name, types in JSON_TYPES.items() if name != "string"}  # a string stays text


def parse_function(text: str, start: int, context: ParseContext, wrapper: int | None = None) -> Span:
    """Parse `<function=name>...</function>`; `wrapper` is the position of the `<tool_call>` around it, or None."""
    head = _FUNCTION.match(text, start)
    markup = "code-mode" if head and head[1] == "execute_code" else "qwen3-coder"
    if markup not in context.markups:
        return Span(start, start + len("<function="))
    pattern = r"</function>(\s*</tool_call>)?" if wrapper is None else r"</function>(\s*</tool_call>)"
    close = re.compile(pattern).search(text, head.end()) if head else None
    if head is None or close is None:
        if wrapper is None and not starts_line(text, start):
            return Span(start, start + len("<function="))
        reason = "is never closed" if head else "has no name"
        raise ValueError(f"<function=...> {reason} - {FIX_HINT}")
    name, body = head[1], text[head.end() : close.start()]
    try:
        arguments = _parse_parameters(name, body, context.tool_properties.get(name, {}))
    except ValueError as problem:
        raise ValueError(f"<function={name}> cannot be parsed: {problem} - {FIX_HINT}") from None
    return Span(start if wrapper is None else wrapper, close.end(), (ToolCall(name, arguments),), markup)


def _parse_parameters(name: str, body: str, properties: dict[str, Any]) -> dict[str, Any]:
    if not body.strip() and name != "execute_code":
        return {}
    if not body.lstrip().startswith("<parameter="):
        return _parse_bare_body(name, body)
    arguments: dict[str, Any] = {}
    position = 0
    while parameter := _PARAMETER.match(body, position):
        key = parameter[1].strip()
        if key in arguments:
            raise ValueError(f"duplicate parameter {key!r}")
        schema = properties.get(key)
        text = strip_line_breaks(parameter[2])
        arguments[key] = _parse_typed(key, text, schema if isinstance(schema, dict) else {})
        position = parameter.end()
    if rest := body[position:].strip():
        raise ValueError(f"text outside parameters: {rest[:40]!r}")
    return arguments


def _parse_bare_body(name: str, body: str) -> dict[str, Any]:
    """Parse a function's body without parameters: JSON arguments (Llama), or Python in `execute_code`."""
    if body.lstrip().startswith("{"):
        try:
            return to_arguments(parse_strict(body))
        except ValueError:
            if name != "execute_code":
                raise
    if name != "execute_code" or not body.strip():
        raise ValueError(f"no parameters in {body.strip()[:40]!r}")
    return {"code": strip_line_breaks(body)}


def _parse_typed(key: str, text: str, schema: dict[str, Any]) -> Any:
    """Parse a parameter's text as its declared type; without a known type it stays text."""
    declared = schema.get("type")
    types = [declared] if isinstance(declared, str) else declared if isinstance(declared, list) else []
    if not types or not all(name in _TYPES for name in types):
        return text
    try:
        value = parse_value(JSON_LITERALS.get(text.strip(), text))
    except ValueError:
        value = text
    if not any(isinstance(value, _TYPES[name]) and (name == "boolean" or value is not bool(value)) for name in types):
        raise ValueError(f"parameter {key!r} is declared as {' or '.join(types)}, but is {text[:40]!r}")
    return value
