"""The depth of a row: how many levels of lists and objects its JSON has."""

from __future__ import annotations

import re

MAX_DEPTH = 100  # levels of lists and objects in a row
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep - each line must be one conversation"
_NO_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^][{}"]++', re.DOTALL)


def is_nested_deeply(line: bytes) -> bool:
    """Return whether lists and objects of a line are nested more than `MAX_DEPTH` levels deep.

    Functions that visit each level call themselves: rows within the limit reach the end of no stack.
    """
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKET.sub(b"", line)
    if brackets.count(b"[") + brackets.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
