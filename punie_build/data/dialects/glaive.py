"""Glaive's labels: SYSTEM:, USER:, ASSISTANT: and FUNCTION RESPONSE: in one text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from punie_build.data.tool_call_markup import MEND

END = "<|endoftext|>"
SYSTEM = re.compile(r"\A\s*(?:SYSTEM:\s*)+")
ANNOUNCED = re.compile(
    r"(?<![\s,])[\s,]*with access to the following functions\.?\s*Use them if required\s*(?:-\s*)?(?=\{)"
)
FUNCTIONCALL = re.compile(r"^[^\S\n]*<functioncall>|<functioncall>\s*\{", re.MULTILINE)
_LABEL = re.compile(r"(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}


def is_prompt(text: str) -> bool:
    announces = "Use them if required" in text and ANNOUNCED.search(text) is not None
    return announces or SYSTEM.match(text) is not None


def unmarked(text: str) -> str:
    """The text without the end-of-text marks it ends in, and without the white space around them."""
    pieces = text.split(END)
    count = len(pieces)
    while len(pieces) > 1 and not pieces[-1].strip():
        pieces.pop()
    return text if len(pieces) == count else END.join(pieces).rstrip()


def labelled(text: str, role: str) -> list[dict[str, Any]]:
    """The turns of a text with labels. Labels stand after blank lines, or, if that gives no second turn, at line starts.
    What stands before the first is a turn of `role`."""
    labels = list(_labels(text, 2))
    if len(labels) < 2:
        labels = list(_labels(text, 1))
    head = text[: labels[0].start()] if labels else text
    if head.strip() and not role:
        raise ValueError(f"chat starts with {head.strip()[:40]!r}, not with a label - {MEND}")
    ends = [*(label.start() for label in labels), len(text)][1:]
    said = [(_ROLES[label[1]], text[label.end() : end]) for label, end in zip(labels, ends, strict=True)]
    turns = [(role, head), *said] if role and head.strip() else said
    return [{"role": role, "content": unmarked(content).rstrip()} for role, content in turns]


def _labels(text: str, breaks: int) -> Iterator[re.Match[str]]:
    """The labels that begin the text, follow an end-of-text mark, or stand after so many line breaks."""
    last = 0
    for label in _LABEL.finditer(text):
        at = label.start()
        while at > last and text[at - 1].isspace():
            at -= 1
        if at == 0 or text.endswith(END, 0, at) or text.count("\n", at, label.start()) >= breaks:
            yield label
        last = label.end()
