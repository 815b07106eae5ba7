"""Code spans and code blocks, and the fenced JSON among them that may be a call."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Any

from punie_build.data.tool_call_markup.json_values import blank, calls_of, value_at, value_of
from punie_build.data.tool_call_markup.span import Around, Span, starts_line

_CUT = re.compile(r"<tool_call>\s*[{\[<](?!.*</tool_call>)")
_INFO = re.compile(r"`+([\w+-]*)[ \t]*\r?\n?")
_AT_END = re.compile(r"(?<!`)(`{3,}+)[ \t]*+\r?$", re.MULTILINE)
_LIKE_A_CALL = re.compile(
    r"""\[?\s*\{\s*["'](?:name|tool)["']\s*:\s*["'][\w.-]+["']\s*,\s*["'](?:arguments|parameters)["']\s*:"""
)


def code(text: str, at: int, around: Around) -> Span:
    """A code span or block. Backticks that close nowhere, or in the middle of a call, are letters."""
    ticks = re.compile("`+").match(text, at)
    assert ticks
    if len(ticks[0]) >= 3:
        return _fence(text, at, len(ticks[0]))
    line_end = text.find("\n", at)
    close = re.compile(rf"(?<!`){ticks[0]}(?!`)").search(text, ticks.end(), line_end if line_end >= 0 else len(text))
    if close is None or _CUT.search(text[ticks.end() : close.start()]):
        return Span(at, ticks.end())
    return Span(at, close.end())


def _fence(text: str, at: int, ticks: int) -> Span:
    info = _INFO.match(text, at)
    assert info
    start = blank(text, info.end())
    is_json = info[1].lower() in ("", "json", "tool_call") and text[start : start + 1] in ("{", "[")
    if is_json:
        try:  # the JSON says itself where it ends, whatever backticks it holds
            value, end = value_at(text, start)
        except ValueError:
            pass
        else:
            if ticks_after := re.compile(rf"\s*`{{{ticks},}}").match(text, end):
                return _fenced(at, ticks_after.end(), value)
    closing = _closing(text, ticks, info.end())
    if closing is None and not (is_json and _LIKE_A_CALL.match(text, start)):
        return Span(at, at + ticks)
    close, end = closing or (len(text), len(text))
    body = text[start:close]
    if not is_json:
        return Span(at, end)
    try:
        return _fenced(at, end, value_of(body))
    except ValueError as problem:
        return Span(at, end, (), "fenced-json" if _LIKE_A_CALL.match(body) else None, str(problem))


def _closing(text: str, ticks: int, at: int) -> tuple[int, int] | None:
    """Where the first fence that closes one of so many `ticks` begins and ends: alone on its line, or else at the end of one."""
    for runs in _closings(text, ticks):
        place = bisect_left(runs, (at, 0))
        if place < len(runs):
            return runs[place]
    return None


@lru_cache(maxsize=4)  # a text with many fences that close nowhere would be searched to its end for each
def _closings(text: str, ticks: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The runs of `ticks` backticks or more that stand alone on a line, and all that end one."""
    runs = [run.span(1) for run in _AT_END.finditer(text) if len(run[1]) >= ticks]
    return [run for run in runs if starts_line(text, run[0])], runs


def _fenced(start: int, end: int, value: Any) -> Span:
    """Calls, if the value looks like some: a name and an object of arguments. Other JSON is text."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(_looks_called(item) for item in items):
        return Span(start, end)
    try:
        return Span(start, end, calls_of(value), "fenced-json")
    except ValueError as problem:
        return Span(start, end, (), "fenced-json", str(problem))


def _looks_called(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    name = item.get("name", item.get("tool"))
    arguments = item.get("arguments", item.get("parameters"))
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+", name)) and isinstance(arguments, dict)
