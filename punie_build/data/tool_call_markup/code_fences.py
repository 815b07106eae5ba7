"""Code spans and code blocks, and the fenced JSON among them that may be a call."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Any

from punie_build.data.tool_call_markup.json_values import parse_value, parse_value_at, skip_whitespace, to_calls
from punie_build.data.tool_call_markup.span import ParseContext, Span, starts_line

_OPEN_CALL = re.compile(r"<tool_call>\s*[{\[<](?!.*</tool_call>)")
_INFO_STRING = re.compile(r"`+([\w+-]*)[ \t]*\r?\n?")
_TICKS_AT_LINE_END = re.compile(r"(?<!`)(`{3,}+)[ \t]*+\r?$", re.MULTILINE)
_CALL_PREFIX = re.compile(
    r"""\[?\s*\{\s*["'](?:name|tool)["']\s*:\s*["'][\w.-]+["']\s*,\s*["'](?:arguments|parameters)["']\s*:"""
)


def parse_code(text: str, start: int, _context: ParseContext) -> Span:
    """Parse a code span or block. Backticks that are never closed, or are closed inside a call, are plain text."""
    ticks = re.compile("`+").match(text, start)
    assert ticks
    if len(ticks[0]) >= 3:
        return _parse_fence(text, start, len(ticks[0]))
    line_end = text.find("\n", start)
    close = re.compile(rf"(?<!`){ticks[0]}(?!`)").search(text, ticks.end(), line_end if line_end >= 0 else len(text))
    if close is None or _OPEN_CALL.search(text[ticks.end() : close.start()]):
        return Span(start, ticks.end())
    return Span(start, close.end())


def _parse_fence(text: str, start: int, ticks: int) -> Span:
    info = _INFO_STRING.match(text, start)
    assert info
    body_start = skip_whitespace(text, info.end())
    is_json = info[1].lower() in ("", "json", "tool_call") and text[body_start : body_start + 1] in ("{", "[")
    if is_json:
        try:  # the JSON value determines its own end, also if it contains backticks
            value, end = parse_value_at(text, body_start)
        except ValueError:
            pass
        else:
            if close := re.compile(rf"\s*`{{{ticks},}}").match(text, end):
                return _json_span(start, close.end(), value)
    fence = _closing_fence(text, ticks, info.end())
    if fence is None and not (is_json and _CALL_PREFIX.match(text, body_start)):
        return Span(start, start + ticks)
    body_end, end = fence or (len(text), len(text))
    body = text[body_start:body_end]
    if not is_json:
        return Span(start, end)
    try:
        return _json_span(start, end, parse_value(body))
    except ValueError as problem:
        return Span(start, end, (), "fenced-json" if _CALL_PREFIX.match(body) else None, str(problem))


def _closing_fence(text: str, ticks: int, start: int) -> tuple[int, int] | None:
    """Return start and end of the first fence that closes one of `ticks` backticks.

    A fence alone on its line is preferred to one at the end of a line.
    """
    for fences in _closing_fences(text, ticks):
        index = bisect_left(fences, (start, 0))
        if index < len(fences):
            return fences[index]
    return None


@lru_cache(maxsize=4)  # otherwise a text with many unclosed fences is searched to its end for each of them
def _closing_fences(text: str, ticks: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the runs of at least `ticks` backticks that are alone on a line, and all that end a line."""
    runs = [run.span(1) for run in _TICKS_AT_LINE_END.finditer(text) if len(run[1]) >= ticks]
    return [run for run in runs if starts_line(text, run[0])], runs


def _json_span(start: int, end: int, value: Any) -> Span:
    """Return a span of calls if each item has a name and an object of arguments; a span of text for other JSON."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(_looks_like_a_call(item) for item in items):
        return Span(start, end)
    try:
        return Span(start, end, to_calls(value), "fenced-json")
    except ValueError as problem:
        return Span(start, end, (), "fenced-json", str(problem))


def _looks_like_a_call(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    name = item.get("name", item.get("tool"))
    arguments = item.get("arguments", item.get("parameters"))
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+", name)) and isinstance(arguments, dict)
