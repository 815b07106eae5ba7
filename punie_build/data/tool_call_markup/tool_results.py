"""Results of tools in a user's message: between tags or after a label."""

from __future__ import annotations

import re

from punie_build.data.tool_call_markup.span import FIX_HINT, strip_line_breaks

_LABEL = re.compile(r"(?:tool|function) (?:result|response|output)s?:[ \n]?", re.IGNORECASE)
_LABELS = re.compile(rf"^{_LABEL.pattern}", re.IGNORECASE | re.MULTILINE)
_OPEN, _CLOSE = "<tool_response>", "</tool_response>"
_SEPARATOR = re.compile(rf"{_CLOSE}\s*{_OPEN}")


def is_tool_result(text: str) -> bool:
    """Whether a user's message begins as the result of a tool."""
    return text.lstrip().startswith(_OPEN) or _LABEL.match(text) is not None


def split_results(text: str, open_calls: int) -> tuple[list[str], str]:
    """Return the results in a user's message, and the text after them. `open_calls` counts calls without a result."""
    body = text.lstrip()
    if not body.startswith(_OPEN):
        parts = _LABELS.split(text)[1:]
        if 1 < len(parts) == open_calls:  # one label for each call; otherwise further labels belong to the result
            return [*(part.rstrip("\n") for part in parts[:-1]), parts[-1]], ""
        return [_LABEL.sub("", text, count=1)], ""
    end = body.rfind(_CLOSE)
    if end < 0:
        raise ValueError(f"{_OPEN} is never closed - {FIX_HINT}")
    results = [strip_line_breaks(part) for part in _SEPARATOR.split(body[len(_OPEN) : end])]
    return results, body[end + len(_CLOSE) :].strip()
