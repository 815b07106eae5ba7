"""Keys that occur twice in one object of a line: readers of JSON take one of the values, and lose the others."""

from __future__ import annotations

import json
from typing import Any

COUNTED = (b'"messages"', b'"role"', b'"content"', b'"tool_calls"', b'"tools"')


def may_have_double_keys(line: bytes, messages: int) -> bool:
    """Return whether a canonical line needs `double_key`: a key occurs more often than there are messages.

    In a text, quotes have a backslash before them, so `"role"` is a key, or a text of its own.
    """
    counts = [line.count(key) for key in COUNTED]
    has_escaped_letter = b"\\u006" in line or b"\\u007" in line
    return has_escaped_letter or counts[0] > 1 or counts[4] > 1 or max(counts[1:4]) > messages


def double_key(line: bytes) -> str:
    """Return a key that occurs twice in one object of the line; empty if there is none, or the line is no JSON."""
    found = ""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        keys = dict(pairs)
        if len(keys) < len(pairs) and not found:
            names = [name for name, _ in pairs]
            found = next(name for name in names if names.count(name) > 1)
        return keys

    try:
        json.loads(line, object_pairs_hook=check, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ""
    return found
