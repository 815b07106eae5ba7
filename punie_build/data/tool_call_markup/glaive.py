"""Calls in the markup of Glaive: `<functioncall>` and JSON whose arguments are quoted JSON."""

from __future__ import annotations

import re

from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.json_values import (
    parse_strict,
    parse_value,
    parse_value_at,
    skip_whitespace,
    to_arguments,
    to_calls,
)
from punie_build.data.tool_call_markup.span import FIX_HINT, ParseContext, Span, starts_line

_END = re.compile(r"<functioncall>|<\|endoftext\|>")
_QUOTED_ARGUMENTS = re.compile(r"""\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:\s*'""")


def parse_glaive(text: str, start: int, context: ParseContext) -> Span:
    """Parse `<functioncall>` and its JSON. The quoted arguments may contain apostrophes."""
    json_start = skip_whitespace(text, start + len("<functioncall>"))
    if "glaive" not in context.markups or not text.startswith("{", json_start):
        if starts_line(text, start) and "glaive" in context.markups:
            raise ValueError(f"<functioncall> holds no JSON - {FIX_HINT}")
        return Span(start, json_start)
    close = _END.search(text, json_start)
    end = close.start() if close else len(text)
    for parser in (_parse_quoted, _parse_unquoted):
        try:
            call, call_end = parser(text, json_start, end)
        except ValueError as error:
            problem = error
        else:
            ends_text = close and close[0] != "<functioncall>" and not text[call_end:end].strip()
            return Span(start, close.end() if close and ends_text else call_end, (call,), "glaive")
    raise ValueError(f"<functioncall> cannot be parsed: {problem} - {FIX_HINT}")


def _parse_quoted(text: str, start: int, end: int) -> tuple[ToolCall, int]:
    head = _QUOTED_ARGUMENTS.match(text, start)
    if head is None:
        raise ValueError("arguments are not quoted")
    try:
        value, value_end = parse_value_at(text, skip_whitespace(text, head.end()))
        close = re.compile(r"\s*'\s*\}").match(text, value_end)
    except ValueError:
        close = None
    if close is None:
        longest = re.compile(r"(.*)'\s*\}", re.DOTALL).match(text, head.end(), end)
        if longest is None:
            raise ValueError("the arguments have no end")
        value, close = parse_strict(longest[1]), longest
    return ToolCall(head[1], to_arguments(value)), close.end()


def _parse_unquoted(text: str, start: int, end: int) -> tuple[ToolCall, int]:
    try:
        value, value_end = parse_value_at(text, start)
    except ValueError:
        value, value_end = parse_value(text[start:end]), end
    return to_calls(value)[0], value_end
