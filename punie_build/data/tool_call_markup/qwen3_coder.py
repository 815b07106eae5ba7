"""Calls as Qwen3-Coder and Llama write them: <function=name>, and a <parameter=key> for each argument."""

from __future__ import annotations

import re
from types import NoneType
from typing import Any

from punie_build.data.tool_call_markup.json_values import WORDS, Call, arguments_of, value_of, whole
from punie_build.data.tool_call_markup.span import MEND, Around, Span, starts_line, trimmed

_FUNCTION = re.compile(r"<function=([^<>\s]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=[^<>\n]+>|\Z))", re.DOTALL)
_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (NoneType,),
}


def function(text: str, at: int, around: Around, wrapped: int | None = None) -> Span:
    """`<function=name>...</function>`; `wrapped` is where its <tool_call> opens."""
    opened = _FUNCTION.match(text, at)
    markup = "code-mode" if opened and opened[1] == "execute_code" else "qwen3-coder"
    if markup not in around.markups:
        return Span(at, at + len("<function="))
    pattern = r"</function>(\s*</tool_call>)?" if wrapped is None else r"</function>(\s*</tool_call>)"
    close = re.compile(pattern).search(text, opened.end()) if opened else None
    if opened is None or close is None:
        if wrapped is None and not starts_line(text, at):
            return Span(at, at + len("<function="))
        what = "is never closed" if opened else "has no name"
        raise ValueError(f"<function=...> {what} - {MEND}")
    try:
        arguments = _parameters(opened[1], text[opened.end() : close.start()], around.tools.get(opened[1], {}))
    except ValueError as problem:
        raise ValueError(f"<function={opened[1]}> cannot be read: {problem} - {MEND}") from None
    return Span(at if wrapped is None else wrapped, close.end(), (Call(opened[1], arguments),), markup)


def function_alone(text: str, at: int, around: Around) -> Span:
    return function(text, at, around)


def _parameters(name: str, body: str, properties: dict[str, Any]) -> dict[str, Any]:
    if not body.strip() and name != "execute_code":
        return {}
    if not body.lstrip().startswith("<parameter="):
        return _bare(name, body)
    found: dict[str, Any] = {}
    at = 0
    while part := _PARAMETER.match(body, at):
        key = part[1].strip()
        if key in found:
            raise ValueError(f"parameter {key!r} stands twice")
        schema = properties.get(key)
        found[key] = _typed(key, trimmed(part[2]), schema if isinstance(schema, dict) else {})
        at = part.end()
    if rest := body[at:].strip():
        raise ValueError(f"no parameter: {rest[:40]!r}")
    return found


def _bare(name: str, body: str) -> dict[str, Any]:
    """A function's body without parameters: JSON arguments (Llama), or in execute_code Python."""
    if body.lstrip().startswith("{"):
        try:
            return arguments_of(whole(body))
        except ValueError:
            if name != "execute_code":
                raise
    if name != "execute_code" or not body.strip():
        raise ValueError(f"no parameters in {body.strip()[:40]!r}")
    return {"code": trimmed(body)}


def _typed(key: str, text: str, schema: dict[str, Any]) -> Any:
    """A parameter's text as what its declaration says. Without one it is text."""
    said = schema.get("type")
    kinds = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    if not kinds or not all(kind in _TYPES for kind in kinds):
        return text
    try:
        value = value_of(WORDS.get(text.strip(), text))
    except ValueError:
        value = text
    if not any(isinstance(value, _TYPES[kind]) and (kind == "boolean" or value is not bool(value)) for kind in kinds):
        raise ValueError(f"parameter {key!r} is declared {' or '.join(kinds)} and says {text[:40]!r}")
    return value
