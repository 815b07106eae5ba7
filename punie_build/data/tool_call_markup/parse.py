"""Reading: an assistant's text as the words around its calls, and the calls."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from punie_build.data.tool_call_markup.code_fences import code
from punie_build.data.tool_call_markup.glaive import glaive
from punie_build.data.tool_call_markup.hermes import tagged
from punie_build.data.tool_call_markup.json_values import Call
from punie_build.data.tool_call_markup.qwen3_coder import function_alone
from punie_build.data.tool_call_markup.span import MEND, Around, Span

_READERS: dict[str, Callable[[str, int, Around], Span]] = {
    "`": code,
    "<tool_call>": tagged,
    "<function=": function_alone,
    "<functioncall>": glaive,
}
_TOKEN = re.compile(r"`+|<tool_call>|<function=|<functioncall>|</tool_call>|</function>|</parameter>|<parameter=")


class Reading(Struct, frozen=True):
    """The words around the calls, the calls, and the markup of the first."""

    text: str
    calls: tuple[Call, ...] = ()
    markup: str | None = None


def read(text: str, around: Around) -> Reading:
    """The calls an assistant's text makes. Without any the text is as it was; with some, its parts are trimmed and stand
    as paragraphs. Raises ValueError."""
    spans: list[Span] = []
    stray = None
    at = 0
    while token := _TOKEN.search(text, at):
        reader = _READERS.get(token[0][:1] if token[0].startswith("`") else token[0])
        span = reader(text, token.start(), around) if reader else Span(token.start(), token.end())
        stray = stray or (None if reader else token[0])
        spans.append(span if span.markup in around.markups else Span(span.start, span.end))
        at = span.end
    spans = [span for span in spans if span.markup]
    called = _by_place(text, spans, around)
    if stray and any(span.markup in ("qwen3-coder", "code-mode") for span in called):  # JSON says itself where it ends
        raise ValueError(f"{stray} is left over beside a call, so where the call ends cannot be told - {MEND}")
    if not called:
        return Reading(text)
    ends = [0, *(span.end for span in called)]
    words = [text[end:start].strip() for end, start in zip(ends, [*(s.start for s in called), len(text)], strict=True)]
    calls = tuple(call for span in called for call in span.calls)
    return Reading("\n\n".join(word for word in words if word), calls, called[0].markup)


def _by_place(text: str, spans: list[Span], around: Around) -> list[Span]:
    """The spans without the fences that, by where they stand, only show a call."""
    kept: list[Span] = []
    end = len(text)
    for span in reversed(spans):
        if span.markup == "fenced-json" and not around.answered:
            known = all(call.name in around.tools for call in span.calls) if around.tools else around.last
            if not known or text[span.end : end].strip():
                continue
        if span.problem:
            raise ValueError(f"the fenced JSON is a call that cannot be read: {span.problem} - {MEND}")
        kept.append(span)
        end = span.start
    return kept[::-1]
