"""Calls in text: tool calls and their results, where they were written into the words of a chat.

    <tool_call>{"name": ..., "arguments": {...}}</tool_call>                          hermes: Qwen2.5, Qwen3, Nous
    <tool_call><function=f><parameter=p>...</parameter></function></tool_call>        qwen3-coder
    <tool_call><function=execute_code><parameter=code>...                             code-mode: qwen3-coder with Python
    ```json {"name": ..., "arguments": {...}}```                                      fenced-json
    <functioncall> {"name": ..., "arguments": '{...}'}                                glaive

What stands in backticks or in a code block is talk about markup and stays text; so does a tag in the middle of a sentence
that opens no call. A fenced JSON object is a call when a result answers it, or when it ends the message and either its tool
is declared or the conversation ends there too. What clearly is a call and cannot be read is a ValueError.

To add a markup: its opening tag in `_READERS`, with a function from the text and where the tag stands to a `_Span`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any

from msgspec import Struct

MARKUPS = ("hermes", "qwen3-coder", "code-mode", "fenced-json", "glaive")
MEND = "mend the row or leave it out"


class Call(Struct, frozen=True):
    name: str
    arguments: dict[str, Any]


class Around(Struct, frozen=True):
    """What stands around a text: properties of the declared tools, whether a result follows, whether nothing does."""

    tools: dict[str, dict[str, Any]] = {}
    answered: bool = False
    last: bool = True
    markups: frozenset[str] = frozenset(MARKUPS)


class Reading(Struct, frozen=True):
    """The words around the calls, the calls, and the markup of the first."""

    text: str
    calls: tuple[Call, ...] = ()
    markup: str | None = None


class _Span(Struct, frozen=True):
    """A stretch of text: calls, a fence that may be one (`problem`: why it cannot), or text to step over (no markup)."""

    start: int
    end: int
    calls: tuple[Call, ...] = ()
    markup: str | None = None
    problem: str | None = None


# --- JSON as people write it


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, strict=False)
_PYTHON = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|\b(?:True|False|None)\b', re.DOTALL)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPES = {"\\'": "'", '"': '\\"', "\\x": "\\u00"}
_BLANK = re.compile(r"\s*")


def _blank(text: str, at: int) -> int:
    """Where the white space that starts at `at` ends."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def value_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that starts at `at`, and where it ends. Line breaks within strings are fine."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        near = " ".join(text[max(0, error.pos - 20) : error.pos + 20].split())
        raise ValueError(f"{error.msg}, near: {near}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def value_of(text: str) -> Any:
    """The JSON value that is the text; Python's quotes, True, False and None are read as JSON's. Raises ValueError."""
    try:
        return _whole(text)
    except ValueError as problem:
        try:
            return _whole(_PYTHON.sub(_as_json, text))
        except ValueError:
            raise problem from None


def _whole(text: str) -> Any:
    value, end = value_at(text, _blank(text, 0))
    if _blank(text, end) < len(text):
        raise ValueError(f"more text after the JSON: {text[end : end + 20].strip()!r}")
    return value


def _as_json(piece: re.Match[str]) -> str:
    if piece[0].startswith("'"):
        return '"' + re.sub(r'\\.|"', lambda part: _ESCAPES.get(part[0], part[0]), piece[0][1:-1]) + '"'
    return _WORDS.get(piece[0], piece[0])


def arguments_of(value: Any) -> dict[str, Any]:
    """Arguments as an object, from an object, its JSON text, or nothing."""
    if isinstance(value, str):
        value = value_of(value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"arguments are {type(value).__name__}, not an object")
    return value


def calls_of(value: Any) -> tuple[Call, ...]:
    """Calls from `{"name", "arguments"}` or a list of such; `tool` and `parameters` are other words for the same."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise ValueError(f"{type(item).__name__} where an object with name and arguments belongs")
        name = item.get("name", item.get("tool"))
        if not isinstance(name, str) or not name:
            raise ValueError("no name")
        key = "arguments" if "arguments" in item else "parameters"
        if unread := set(item) - {"name" if "name" in item else "tool", key, "type"}:
            raise ValueError(f"keys that no call has: {', '.join(sorted(unread))}")
        found.append(Call(name, arguments_of(item.get(key))))
    if not found:
        raise ValueError("an empty list")
    return tuple(found)


# --- reading


def read(text: str, around: Around) -> Reading:
    """The calls an assistant's text makes. Without any the text is as it was; with some, its parts are trimmed and stand
    as paragraphs. Raises ValueError."""
    spans: list[_Span] = []
    stray = None
    at = 0
    while token := _TOKEN.search(text, at):
        reader = _READERS.get(token[0][:1] if token[0].startswith("`") else token[0])
        span = reader(text, token.start(), around) if reader else _Span(token.start(), token.end())
        stray = stray or (None if reader else token[0])
        spans.append(span if span.markup in around.markups else _Span(span.start, span.end))
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


def _by_place(text: str, spans: list[_Span], around: Around) -> list[_Span]:
    """The spans without the fences that, by where they stand, only show a call."""
    kept: list[_Span] = []
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


def _starts_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


_CUT = re.compile(r"<tool_call>\s*[{\[<](?!.*</tool_call>)")


def _code(text: str, at: int, around: Around) -> _Span:
    """A code span or block. Backticks that close nowhere, or in the middle of a call, are letters."""
    ticks = re.compile("`+").match(text, at)
    assert ticks
    if len(ticks[0]) >= 3:
        return _fence(text, at, len(ticks[0]))
    line_end = text.find("\n", at)
    close = re.compile(rf"(?<!`){ticks[0]}(?!`)").search(text, ticks.end(), line_end if line_end >= 0 else len(text))
    if close is None or _CUT.search(text[ticks.end() : close.start()]):
        return _Span(at, ticks.end())
    return _Span(at, close.end())


_INFO = re.compile(r"`+([\w+-]*)[ \t]*\r?\n?")
_LIKE_A_CALL = re.compile(
    r"""\[?\s*\{\s*["'](?:name|tool)["']\s*:\s*["'][\w.-]+["']\s*,\s*["'](?:arguments|parameters)["']\s*:"""
)


def _fence(text: str, at: int, ticks: int) -> _Span:
    info = _INFO.match(text, at)
    assert info
    start = _blank(text, info.end())
    is_json = info[1].lower() in ("", "json", "tool_call") and text[start : start + 1] in ("{", "[")
    if is_json:
        try:  # the JSON says itself where it ends, whatever backticks it holds
            value, end = value_at(text, start)
        except ValueError:
            pass
        else:
            if close := re.compile(rf"\s*`{{{ticks},}}").match(text, end):
                return _fenced(at, close.end(), value)
    close = re.compile(rf"^[ \t]*`{{{ticks},}}[ \t]*\r?$", re.MULTILINE).search(text, info.end())
    close = close or re.compile(rf"`{{{ticks},}}(?=[ \t]*\r?$)", re.MULTILINE).search(text, info.end())
    if close is None and not (is_json and _LIKE_A_CALL.match(text, start)):
        return _Span(at, at + ticks)
    body, end = (text[start : close.start()], close.end()) if close else (text[start:], len(text))
    if not is_json:
        return _Span(at, end)
    try:
        return _fenced(at, end, value_of(body))
    except ValueError as problem:
        return _Span(at, end, (), "fenced-json" if _LIKE_A_CALL.match(body) else None, str(problem))


def _fenced(start: int, end: int, value: Any) -> _Span:
    """Calls, if the value looks like some: a name and an object of arguments. Other JSON is text."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(_looks_called(item) for item in items):
        return _Span(start, end)
    try:
        return _Span(start, end, calls_of(value), "fenced-json")
    except ValueError as problem:
        return _Span(start, end, (), "fenced-json", str(problem))


def _looks_called(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    name = item.get("name", item.get("tool"))
    arguments = item.get("arguments", item.get("parameters"))
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+", name)) and isinstance(arguments, dict)


def _tagged(text: str, at: int, around: Around) -> _Span:
    inside = _blank(text, at + len("<tool_call>"))
    if text.startswith("<function=", inside):
        return _function(text, inside, around, at)
    close = text.find("</tool_call>", inside)
    if text[inside : inside + 1] not in ("{", "["):
        alone = not text[at + len("<tool_call>") : inside + 1].strip(" \t").strip("\n")
        if _starts_line(text, at) and (close >= 0 or alone) and "hermes" in around.markups:
            raise ValueError(f"<tool_call> holds neither JSON nor <function=...> - {MEND}")
        return _Span(at, inside)
    if "hermes" not in around.markups:
        return _Span(at, inside)
    try:
        value, end = value_at(text, inside)
        exact = text.startswith("</tool_call>", _blank(text, end))
    except ValueError:
        exact = False
    if exact:
        close = _blank(text, end)
    elif close < 0:
        raise ValueError(f"<tool_call> is never closed - {MEND}")
    try:
        calls = calls_of(value if exact else value_of(text[inside:close]))
    except ValueError as problem:
        raise ValueError(f"<tool_call> cannot be read: {problem} - {MEND}") from None
    return _Span(at, close + len("</tool_call>"), calls, "hermes")


_FUNCTION = re.compile(r"<function=([^<>\s]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=[^<>\n]+>|\Z))", re.DOTALL)


def _function(text: str, at: int, around: Around, wrapped: int | None = None) -> _Span:
    """`<function=name>...</function>`; `wrapped` is where its <tool_call> opens."""
    opened = _FUNCTION.match(text, at)
    markup = "code-mode" if opened and opened[1] == "execute_code" else "qwen3-coder"
    if markup not in around.markups:
        return _Span(at, at + len("<function="))
    pattern = r"</function>(\s*</tool_call>)?" if wrapped is None else r"</function>(\s*</tool_call>)"
    close = re.compile(pattern).search(text, opened.end()) if opened else None
    if opened is None or close is None:
        if wrapped is None and not _starts_line(text, at):
            return _Span(at, at + len("<function="))
        what = "is never closed" if opened else "has no name"
        raise ValueError(f"<function=...> {what} - {MEND}")
    try:
        arguments = _parameters(opened[1], text[opened.end() : close.start()], around.tools.get(opened[1], {}))
    except ValueError as problem:
        raise ValueError(f"<function={opened[1]}> cannot be read: {problem} - {MEND}") from None
    return _Span(at if wrapped is None else wrapped, close.end(), (Call(opened[1], arguments),), markup)


def _function_alone(text: str, at: int, around: Around) -> _Span:
    return _function(text, at, around)


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
        found[key] = _typed(key, _trimmed(part[2]), schema if isinstance(schema, dict) else {})
        at = part.end()
    if rest := body[at:].strip():
        raise ValueError(f"no parameter: {rest[:40]!r}")
    return found


def _bare(name: str, body: str) -> dict[str, Any]:
    """A function's body without parameters: JSON arguments (Llama), or in execute_code Python."""
    if body.lstrip().startswith("{"):
        try:
            return arguments_of(_whole(body))
        except ValueError:
            if name != "execute_code":
                raise
    if name != "execute_code" or not body.strip():
        raise ValueError(f"no parameters in {body.strip()[:40]!r}")
    return {"code": _trimmed(body)}


def _trimmed(value: str) -> str:
    """Without the line breaks the template puts around a value."""
    if value.startswith("\r\n") and value.endswith("\r\n"):
        return value[2:-2]
    return value.removeprefix("\n").removesuffix("\n")


_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (NoneType,),
}


def _typed(key: str, text: str, schema: dict[str, Any]) -> Any:
    """A parameter's text as what its declaration says. Without one it is text."""
    said = schema.get("type")
    kinds = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    if not kinds or not all(kind in _TYPES for kind in kinds):
        return text
    try:
        value = value_of(_WORDS.get(text.strip(), text))
    except ValueError:
        value = text
    if not any(isinstance(value, _TYPES[kind]) and (kind == "boolean" or value is not bool(value)) for kind in kinds):
        raise ValueError(f"parameter {key!r} is declared {' or '.join(kinds)} and says {text[:40]!r}")
    return value


_GLAIVE_END = re.compile(r"<functioncall>|<\|endoftext\|>")
_QUOTED = re.compile(r"""\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:\s*'""")


def _glaive(text: str, at: int, around: Around) -> _Span:
    """`<functioncall>` and JSON whose arguments are quoted JSON, with any apostrophe in it."""
    start = _blank(text, at + len("<functioncall>"))
    if "glaive" not in around.markups or not text.startswith("{", start):
        if _starts_line(text, at) and "glaive" in around.markups:
            raise ValueError(f"<functioncall> holds no JSON - {MEND}")
        return _Span(at, start)
    closed = _GLAIVE_END.search(text, start)
    end = closed.start() if closed else len(text)
    for reader in (_glaive_quoted, _glaive_json):
        try:
            call, stop = reader(text, start, end)
        except ValueError as error:
            problem = error
        else:
            stop = closed.end() if closed and closed[0] != "<functioncall>" and not text[stop:end].strip() else stop
            return _Span(at, stop, (call,), "glaive")
    raise ValueError(f"<functioncall> cannot be read: {problem} - {MEND}")


def _glaive_quoted(text: str, start: int, end: int) -> tuple[Call, int]:
    quoted = _QUOTED.match(text, start)
    if quoted is None:
        raise ValueError("arguments are not quoted")
    try:
        value, stop = value_at(text, _blank(text, quoted.end()))
        close = re.compile(r"\s*'\s*\}").match(text, stop)
    except ValueError:
        close = None
    if close is None:
        last = re.compile(r"(.*)'\s*\}", re.DOTALL).match(text, quoted.end(), end)
        if last is None:
            raise ValueError("the arguments have no end")
        value, close = _whole(last[1]), last
    return Call(quoted[1], arguments_of(value)), close.end()


def _glaive_json(text: str, start: int, end: int) -> tuple[Call, int]:
    try:
        value, stop = value_at(text, start)
    except ValueError:
        value, stop = value_of(text[start:end]), end
    calls = calls_of(value)
    return calls[0], stop


# --- results

_LABEL = re.compile(r"(?:tool|function) (?:result|response|output)s?:[ \n]?", re.IGNORECASE)
_LABELS = re.compile(rf"^{_LABEL.pattern}", re.IGNORECASE | re.MULTILINE)
_OPEN, _CLOSE = "<tool_response>", "</tool_response>"
_BETWEEN = re.compile(rf"{_CLOSE}\s*{_OPEN}")


def is_result(text: str) -> bool:
    """Whether a user's turn says that it is what a tool gave back."""
    return text.lstrip().startswith(_OPEN) or _LABEL.match(text) is not None


def results(text: str, waiting: int) -> tuple[list[str], str]:
    """The results in a turn that is one, and what the user says after them. `waiting`: how many calls have none yet."""
    body = text.lstrip()
    if not body.startswith(_OPEN):
        parts = _LABELS.split(text)[1:]
        if 1 < len(parts) == waiting:  # a label for each call; else the further ones are the result's own words
            return [*(part.rstrip("\n") for part in parts[:-1]), parts[-1]], ""
        return [_LABEL.sub("", text, count=1)], ""
    end = body.rfind(_CLOSE)
    if end < 0:
        raise ValueError(f"{_OPEN} is never closed - {MEND}")
    return [_trimmed(part) for part in _BETWEEN.split(body[len(_OPEN) : end])], body[end + len(_CLOSE) :].strip()


_READERS: dict[str, Callable[[str, int, Around], _Span]] = {
    "`": _code,
    "<tool_call>": _tagged,
    "<function=": _function_alone,
    "<functioncall>": _glaive,
}
_TOKEN = re.compile(r"`+|<tool_call>|<function=|<functioncall>|</tool_call>|</function>|</parameter>|<parameter=")
