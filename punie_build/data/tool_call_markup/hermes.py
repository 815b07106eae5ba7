"""Calls as Qwen2.5, Qwen3 and Nous write them: JSON within <tool_call>."""

from __future__ import annotations

from punie_build.data.tool_call_markup.json_values import blank, calls_of, value_at, value_of
from punie_build.data.tool_call_markup.qwen3_coder import function
from punie_build.data.tool_call_markup.span import MEND, Around, Span, starts_line


def tagged(text: str, at: int, around: Around) -> Span:
    inside = blank(text, at + len("<tool_call>"))
    if text.startswith("<function=", inside):
        return function(text, inside, around, at)
    close = text.find("</tool_call>", inside)
    if text[inside : inside + 1] not in ("{", "["):
        alone = not text[at + len("<tool_call>") : inside + 1].strip(" \t").strip("\n")
        if starts_line(text, at) and (close >= 0 or alone) and "hermes" in around.markups:
            raise ValueError(f"<tool_call> holds neither JSON nor <function=...> - {MEND}")
        return Span(at, inside)
    if "hermes" not in around.markups:
        return Span(at, inside)
    try:
        value, end = value_at(text, inside)
        exact = text.startswith("</tool_call>", blank(text, end))
    except ValueError:
        exact = False
    if exact:
        close = blank(text, end)
    elif close < 0:
        raise ValueError(f"<tool_call> is never closed - {MEND}")
    try:
        calls = calls_of(value if exact else value_of(text[inside:close]))
    except ValueError as problem:
        raise ValueError(f"<tool_call> cannot be read: {problem} - {MEND}") from None
    return Span(at, close + len("</tool_call>"), calls, "hermes")
