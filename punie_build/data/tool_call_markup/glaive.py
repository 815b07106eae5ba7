"""Calls as glaive writes them: <functioncall> and JSON whose arguments are quoted JSON."""

from __future__ import annotations

import re

from punie_build.data.tool_call_markup.json_values import (
    Call,
    arguments_of,
    blank,
    calls_of,
    value_at,
    value_of,
    whole,
)
from punie_build.data.tool_call_markup.span import MEND, Around, Span, starts_line

_END = re.compile(r"<functioncall>|<\|endoftext\|>")
_QUOTED = re.compile(r"""\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:\s*'""")


def glaive(text: str, at: int, around: Around) -> Span:
    """`<functioncall>` and JSON whose arguments are quoted JSON, with any apostrophe in it."""
    start = blank(text, at + len("<functioncall>"))
    if "glaive" not in around.markups or not text.startswith("{", start):
        if starts_line(text, at) and "glaive" in around.markups:
            raise ValueError(f"<functioncall> holds no JSON - {MEND}")
        return Span(at, start)
    closed = _END.search(text, start)
    end = closed.start() if closed else len(text)
    for reader in (_quoted, _unquoted):
        try:
            call, stop = reader(text, start, end)
        except ValueError as error:
            problem = error
        else:
            stop = closed.end() if closed and closed[0] != "<functioncall>" and not text[stop:end].strip() else stop
            return Span(at, stop, (call,), "glaive")
    raise ValueError(f"<functioncall> cannot be read: {problem} - {MEND}")


def _quoted(text: str, start: int, end: int) -> tuple[Call, int]:
    quoted = _QUOTED.match(text, start)
    if quoted is None:
        raise ValueError("arguments are not quoted")
    try:
        value, stop = value_at(text, blank(text, quoted.end()))
        close = re.compile(r"\s*'\s*\}").match(text, stop)
    except ValueError:
        close = None
    if close is None:
        last = re.compile(r"(.*)'\s*\}", re.DOTALL).match(text, quoted.end(), end)
        if last is None:
            raise ValueError("the arguments have no end")
        value, close = whole(last[1]), last
    return Call(quoted[1], arguments_of(value)), close.end()


def _unquoted(text: str, start: int, end: int) -> tuple[Call, int]:
    try:
        value, stop = value_at(text, start)
    except ValueError:
        value, stop = value_of(text[start:end]), end
    calls = calls_of(value)
    return calls[0], stop
