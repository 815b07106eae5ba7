"""Calls as `[name(key=value), ...]`, as ToolACE writes them: names may hold blanks, values are Python or JSON."""

from __future__ import annotations

import ast
import re
from typing import Any

_NAME = re.compile(r"\s*([^\[\](){}=,'\"\n]+?)\s*\(")
_KEYWORD = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*=\s*")
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse_calls(text: str) -> list[dict[str, Any]]:
    """Return the calls of a text that consists of a list of calls; an empty list for any other text."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return []
    calls: list[dict[str, Any]] = []
    position, end = 1, len(text) - 1
    try:
        while position < end:
            if not (name := _NAME.match(text, position)):
                return []
            close = _end_of_value(text, name.end(), ")")
            calls.append({"name": name[1], "arguments": _arguments(text[name.end() : close])})
            position = close + 1
            rest = text[position:end].lstrip()
            if rest and not rest.startswith(","):
                return []
            position = end - len(rest) + 1 if rest else end
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return calls


def _arguments(text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    position = 0
    while text[position:].strip(" ,\n\t"):
        keyword = _KEYWORD.match(text, position)
        if not keyword or keyword[1] in arguments:
            raise ValueError("not a keyword argument")
        end = _end_of_value(text, keyword.end(), ",")
        arguments[keyword[1]] = _value(text[keyword.end() : end].strip())
        position = end + 1
    return arguments


def _value(text: str) -> Any:
    if text in _LITERALS:
        return _LITERALS[text]
    return ast.literal_eval(re.sub(r"(?<![\w'\"])(true|false|null)(?![\w'\"])", lambda m: repr(_LITERALS[m[0]]), text))


def _end_of_value(text: str, start: int, end: str) -> int:
    """Return where a value ends: at the first `end` outside strings and brackets, or at the end of the text."""
    stack: list[str] = []
    position = start
    while position < len(text):
        character = text[position]
        if character in "'\"":
            position += 1
            while position < len(text) and text[position] != character:
                position += 2 if text[position] == "\\" else 1
        elif not stack and character == end:
            return position
        elif character in _CLOSING:
            stack.append(_CLOSING[character])
        elif stack and character == stack[-1]:
            stack.pop()
        position += 1
    if end == ")":
        raise ValueError("never closed")
    return len(text)
