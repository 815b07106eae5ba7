"""JSON as people write it into texts, and the calls it says."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any

from msgspec import Struct

_PYTHON = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|\b(?:True|False|None)\b', re.DOTALL)
WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPES = {"\\'": "'", '"': '\\"', "\\x": "\\u00"}
_BLANK = re.compile(r"\s*")


class Call(Struct, frozen=True):
    name: str
    arguments: dict[str, Any]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, strict=False)


def blank(text: str, at: int) -> int:
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
        return whole(text)
    except ValueError as problem:
        try:
            return whole(_PYTHON.sub(_as_json, text))
        except ValueError:
            raise problem from None


def whole(text: str) -> Any:
    value, end = value_at(text, blank(text, 0))
    if blank(text, end) < len(text):
        raise ValueError(f"more text after the JSON: {text[end : end + 20].strip()!r}")
    return value


def _as_json(piece: re.Match[str]) -> str:
    if piece[0].startswith("'"):
        return '"' + re.sub(r'\\.|"', lambda part: _ESCAPES.get(part[0], part[0]), piece[0][1:-1]) + '"'
    return WORDS.get(piece[0], piece[0])


def brief(value: Any) -> str:
    """A value as messages show it: its first characters, and nothing that is not to be printed."""
    try:
        return json.dumps(value)[:60]
    except (TypeError, ValueError, RecursionError):
        return reprlib.repr(value)[:60]


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
