"""Calls in the markup of Qwen2.5, Qwen3 and Nous Hermes: JSON within `<tool_call>`."""

from __future__ import annotations

import ast
import re
import warnings

from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.json_values import parse_value, parse_value_at, skip_whitespace, to_calls
from punie_build.data.tool_call_markup.qwen3_coder import parse_function
from punie_build.data.tool_call_markup.span import FIX_HINT, ParseContext, Span, starts_line


def is_python(text: str) -> bool:
    """Whether a text is a Python program that does something: at least one call or assignment."""
    if "(" not in text and "=" not in text:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Call | ast.Assign | ast.AugAssign | ast.Import) for node in ast.walk(tree))


def _code(text: str) -> str:
    """Return a text without blanks at its end and without a fence around it."""
    text = text.rstrip()
    fenced = re.fullmatch(r"```(?:py\w*)?[ \t]*\n(.*?)\n?```", text, re.DOTALL | re.IGNORECASE)
    return fenced[1] if fenced else text


def parse_tool_call(text: str, start: int, context: ParseContext) -> Span:
    """Parse `<tool_call>...</tool_call>`, which holds JSON, or `<function=...>` as Qwen3-Coder writes it."""
    inside = skip_whitespace(text, start + len("<tool_call>"))
    if text.startswith("<function=", inside):
        return parse_function(text, inside, context, start)
    close = text.find("</tool_call>", inside)
    if text[inside : inside + 1] not in ("{", "["):
        is_alone = not text[start + len("<tool_call>") : inside + 1].strip(" \t").strip("\n")
        if close >= 0 and "code-mode" in context.markups and is_python(code := _code(text[inside:close])):
            return Span(start, close + len("</tool_call>"), (ToolCall("execute_code", {"code": code}),), "code-mode")
        if starts_line(text, start) and (close >= 0 or is_alone) and "hermes" in context.markups:
            raise ValueError(f"<tool_call> holds neither JSON nor <function=...> - {FIX_HINT}")
        return Span(start, inside)
    if "hermes" not in context.markups:
        return Span(start, inside)
    try:
        value, end = parse_value_at(text, inside)
        is_exact = text.startswith("</tool_call>", skip_whitespace(text, end))
    except ValueError:
        is_exact = False
    if is_exact:
        close = skip_whitespace(text, end)
    elif close < 0:
        raise ValueError(f"<tool_call> is never closed - {FIX_HINT}")
    try:
        calls = to_calls(value if is_exact else parse_value(text[inside:close]))
    except ValueError as problem:
        raise ValueError(f"<tool_call> cannot be parsed: {problem} - {FIX_HINT}") from None
    return Span(start, close + len("</tool_call>"), calls, "hermes")
