"""Parser of an assistant's text: the calls in it, and the text around them."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.code_fences import parse_code
from punie_build.data.tool_call_markup.glaive import parse_glaive
from punie_build.data.tool_call_markup.hermes import parse_tool_call
from punie_build.data.tool_call_markup.qwen3_coder import parse_function
from punie_build.data.tool_call_markup.span import FIX_HINT, ParseContext, Span

_PARSERS: dict[str, Callable[[str, int, ParseContext], Span]] = {
    "`": parse_code,
    "<tool_call>": parse_tool_call,
    "<function=": parse_function,
    "<functioncall>": parse_glaive,
}
_TOKEN = re.compile(r"`+|<tool_call>|<function=|<functioncall>|</tool_call>|</function>|</parameter>|<parameter=")


class ParsedText(Struct, frozen=True):
    """The text around the calls, the calls, and the markup of the first call."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    markup: str | None = None


def parse_text(text: str, context: ParseContext) -> ParsedText:
    """Parse the calls in an assistant's text. Raises ValueError.

    A text without calls is returned unchanged; around calls, the parts of the text are stripped and joined as
    paragraphs.
    """
    spans: list[Span] = []
    stray_tag = None
    position = 0
    while token := _TOKEN.search(text, position):
        parser = _PARSERS.get(token[0][:1] if token[0].startswith("`") else token[0])
        span = parser(text, token.start(), context) if parser else Span(token.start(), token.end())
        stray_tag = stray_tag or (None if parser else token[0])
        spans.append(span if span.markup in context.markups else Span(span.start, span.end))
        position = span.end
    call_spans = _without_quoted_fences(text, [span for span in spans if span.markup], context)
    # JSON determines its own end, but a stray closing tag makes the end of a call in XML ambiguous
    if stray_tag and any(span.markup in ("qwen3-coder", "code-mode") for span in call_spans):
        raise ValueError(f"{stray_tag} is left over beside a call, so the end of the call is ambiguous - {FIX_HINT}")
    if not call_spans:
        return ParsedText(text)
    ends = [0, *(span.end for span in call_spans)]
    starts = [*(span.start for span in call_spans), len(text)]
    paragraphs = [text[end:start].strip() for end, start in zip(ends, starts, strict=True)]
    calls = tuple(call for span in call_spans for call in span.calls)
    return ParsedText("\n\n".join(filter(None, paragraphs)), calls, call_spans[0].markup)


def _without_quoted_fences(text: str, spans: list[Span], context: ParseContext) -> list[Span]:
    """Return the spans without fences that, by their position, only quote a call."""
    calls: list[Span] = []
    end = len(text)
    for span in reversed(spans):
        if span.markup == "fenced-json" and not context.has_result:
            tools = context.tool_properties
            is_declared = all(call.name in tools for call in span.calls) if tools else context.is_last
            if not is_declared or text[span.end : end].strip():
                continue
        if span.problem:
            raise ValueError(f"the fenced JSON is a call that cannot be parsed: {span.problem} - {FIX_HINT}")
        calls.append(span)
        end = span.start
    return calls[::-1]
