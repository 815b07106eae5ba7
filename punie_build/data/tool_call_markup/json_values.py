"""JSON within text, as models and people write it, and the calls in it."""

from __future__ import annotations

import json
import re
import reprlib
from contextlib import suppress
from typing import Any

from punie_build.data.example import ToolCall

_PYTHON = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|\b(?:True|False|None)\b', re.DOTALL)
_BACKSLASH = re.compile(r'\\\\|\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')  # an escaped one, or one that begins no escape
JSON_LITERALS = {"True": "true", "False": "false", "None": "null"}
_ESCAPES = {"\\'": "'", '"': '\\"', "\\x": "\\u00"}
_WHITESPACE = re.compile(r"\s*")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError("duplicate key")
    return items


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_reject_constant, strict=False)


def skip_whitespace(text: str, start: int) -> int:
    """Return the position after the white space that begins at `start`."""
    match = _WHITESPACE.match(text, start)
    return match.end() if match else start


def parse_value_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the JSON value that begins at `start`, and return it with its end. Strings may contain line breaks."""
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        excerpt = " ".join(text[max(0, error.pos - 20) : error.pos + 20].split())
        raise ValueError(f"{error.msg}, near: {excerpt}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_value(text: str) -> Any:
    """Parse a text that is one JSON value. Raises ValueError.

    Python's quotes, True, False and None are accepted, and a backslash that begins no escape, as in `\\d`, is itself.
    """
    try:
        return parse_strict(text)
    except ValueError as problem:
        for repaired in (_PYTHON.sub(_to_json, text), _BACKSLASH.sub(r"\\\\", text)):
            with suppress(ValueError):
                return parse_strict(repaired)
        raise problem from None


def parse_strict(text: str) -> Any:
    """Parse a text that is one JSON value. Raises ValueError."""
    value, end = parse_value_at(text, skip_whitespace(text, 0))
    if skip_whitespace(text, end) < len(text):
        raise ValueError(f"more text after the JSON: {text[end : end + 20].strip()!r}")
    return value


def _to_json(token: re.Match[str]) -> str:
    if token[0].startswith("'"):
        return '"' + re.sub(r'\\.|"', lambda match: _ESCAPES.get(match[0], match[0]), token[0][1:-1]) + '"'
    return JSON_LITERALS.get(token[0], token[0])


def preview(value: Any) -> str:
    """Return the first 60 characters of a value, for messages."""
    try:
        return json.dumps(value)[:60]
    except (TypeError, ValueError, RecursionError):
        return reprlib.repr(value)[:60]


def to_arguments(value: Any) -> dict[str, Any]:
    """Return arguments as an object, from an object, its JSON text, or None."""
    if isinstance(value, str):
        value = parse_value(value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"arguments are {type(value).__name__}, not an object")
    return value


def to_calls(value: Any) -> tuple[ToolCall, ...]:
    """Return calls from `{"name", "arguments"}` or a list of these; the keys may also be `tool` and `parameters`."""
    calls = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise ValueError(f"{type(item).__name__} instead of an object with name and arguments")
        name = item.get("name", item.get("tool"))
        if not isinstance(name, str) or not name:
            raise ValueError("no name")
        key = "arguments" if "arguments" in item else "parameters"
        if unknown := set(item) - {"name" if "name" in item else "tool", key, "type"}:
            raise ValueError(f"unknown keys in a call: {', '.join(sorted(unknown))}")
        calls.append(ToolCall(name, to_arguments(item.get(key))))
    if not calls:
        raise ValueError("an empty list of calls")
    return tuple(calls)
