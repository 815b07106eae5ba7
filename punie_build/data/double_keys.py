"""Keys that occur twice in one object of a line: readers of JSON take one of the values, and lose the others."""

from __future__ import annotations

import json
from typing import Any


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
