"""The labels of Glaive: SYSTEM:, USER:, ASSISTANT: and FUNCTION RESPONSE: in one text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from punie_build.data.tool_call_markup.span import FIX_HINT

END_OF_TEXT = "<|endoftext|>"
SYSTEM_LABEL = re.compile(r"\A\s*(?:SYSTEM:\s*)+")
TOOLS_ANNOUNCEMENT = re.compile(
    r"(?<![\s,])[\s,]*with access to the following functions\.?\s*Use them if required\s*(?:-\s*)?(?=\{)"
)
FUNCTIONCALL = re.compile(r"^[^\S\n]*<functioncall>|<functioncall>\s*\{", re.MULTILINE)
_LABEL = re.compile(r"(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}


def is_glaive_prompt(text: str) -> bool:
    """Whether a system prompt has the label or the announcement of tools of Glaive."""
    has_announcement = "Use them if required" in text and TOOLS_ANNOUNCEMENT.search(text) is not None
    return has_announcement or SYSTEM_LABEL.match(text) is not None


def strip_end_marks(text: str) -> str:
    """Remove the end-of-text marks at the end, and the white space around them."""
    parts = text.split(END_OF_TEXT)
    count = len(parts)
    while len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return text if len(parts) == count else END_OF_TEXT.join(parts).rstrip()


def split_labels(text: str, role: str) -> list[dict[str, Any]]:
    """Split a text with labels into turns; text before the first label is a turn of `role`.

    Labels follow blank lines; if that gives fewer than two labels, they may follow any line break.
    """
    labels = list(_labels(text, 2))
    if len(labels) < 2:
        labels = list(_labels(text, 1))
    head = text[: labels[0].start()] if labels else text
    if head.strip() and not role:
        raise ValueError(f"chat starts with {head.strip()[:40]!r}, not with a label - {FIX_HINT}")
    ends = [*(label.start() for label in labels), len(text)][1:]
    turns = [(_ROLES[label[1]], text[label.end() : end]) for label, end in zip(labels, ends, strict=True)]
    if role and head.strip():
        turns = [(role, head), *turns]
    return [{"role": role, "content": strip_end_marks(content).rstrip()} for role, content in turns]


def _labels(text: str, line_breaks: int) -> Iterator[re.Match[str]]:
    """Yield the labels that begin the text, follow an end-of-text mark, or follow at least so many line breaks."""
    previous_end = 0
    for label in _LABEL.finditer(text):
        start = label.start()
        while start > previous_end and text[start - 1].isspace():
            start -= 1
        if start == 0 or text.endswith(END_OF_TEXT, 0, start) or text.count("\n", start, label.start()) >= line_breaks:
            yield label
        previous_end = label.end()
