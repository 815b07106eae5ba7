"""Spans of a text, and the context that decides whether a span is a call.

    <tool_call>{"name": ..., "arguments": {...}}</tool_call>                          hermes: Qwen2.5, Qwen3, Nous
    <tool_call><function=f><parameter=p>...</parameter></function></tool_call>        qwen3-coder
    <tool_call><function=execute_code><parameter=code>...                             code-mode: qwen3-coder with Python
    ```json {"name": ..., "arguments": {...}}```                                      fenced-json
    <functioncall> {"name": ..., "arguments": '{...}'}                                glaive

Markup in backticks or in a code block is quoted and stays text; so does a tag inside a sentence that does not begin a
call. A fenced JSON object is a call if a result follows it, or if it ends the message and either its tool is declared
or the conversation ends there too. A text that clearly is a call, but cannot be parsed, raises ValueError.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from punie_build.data.example import ToolCall

MARKUPS = ("hermes", "qwen3-coder", "code-mode", "fenced-json", "glaive")
FIX_HINT = "fix the row or remove it"


class ParseContext(Struct, frozen=True):
    """The context of a text: the properties of the declared tools, by the tool's name; whether a tool's result follows;
    whether it is the last message; and the markups to parse."""

    tool_properties: dict[str, dict[str, Any]] = {}
    has_result: bool = False
    is_last: bool = True
    markups: frozenset[str] = frozenset(MARKUPS)


class Span(Struct, frozen=True):
    """A span of text: calls, a fence that cannot be parsed as a call (`problem`), or plain text (no markup)."""

    start: int
    end: int
    calls: tuple[ToolCall, ...] = ()
    markup: str | None = None
    problem: str | None = None


def starts_line(text: str, position: int) -> bool:
    """Whether only white space precedes a position on its line."""
    return not text[text.rfind("\n", 0, position) + 1 : position].strip()


def strip_line_breaks(value: str) -> str:
    """Remove the line breaks that chat templates put around a value, at most one on each side."""
    if value.startswith("\r\n") and value.endswith("\r\n"):
        return value[2:-2]
    return value.removeprefix("\n").removesuffix("\n")
