"""Results in a user's turn: what a tool gave back, between tags or behind a label."""

from __future__ import annotations

import re

from punie_build.data.tool_call_markup.span import MEND, trimmed

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
    return [trimmed(part) for part in _BETWEEN.split(body[len(_OPEN) : end])], body[end + len(_CLOSE) :].strip()
