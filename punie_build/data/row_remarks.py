"""Remarks on the rows of a dataset: how many of them a model may learn less from than their author expects."""

from __future__ import annotations

import re
from collections import Counter

from punie_build.data.example import Example
from punie_build.runtime.console import message

REMARKS = {  # property of a row -> what to do, for datasets of chat
    "have no question": 'for raw text, set form = "text"',
    "have an empty question": "the filter `content-quality` drops them",
    "have a result of a tool without its call": "the filter `valid-tools` drops them",
    "have no answer": "there is nothing to learn from them: the filter `ends-with-assistant` drops them",
    "have an empty answer": "the filter `content-quality` drops them",
    "have a mark of an image or of sound in the text": "bases here read text only, and would learn "
    "answers to what they do not see - remove them with a filter `python`",
    "do not end with the assistant": "the filter `ends-with-assistant` drops them",
}

MEDIA_MARK = re.compile(  # <image>, <image_1>, <img>, <video>, <|vision_start|>; HTML has attributes in its tags
    r"<(?:image|img|video|audio)(?:[_ ]?\d+)?>|<\|(?:image|vision|video|audio)\w*\|>|\[IMG\]"
)


class RowRemarks:
    """The number of rows of chat that have each property."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        """Count a row; raw text and preference data have no remarks."""
        if example.form != "chat":
            return
        if not example.has_question():
            self.counts["have no question"] += 1
        if any(message.role == "user" and not (message.content or "").strip() for message in example.messages):
            self.counts["have an empty question"] += 1
        if has_orphan_result(example):
            self.counts["have a result of a tool without its call"] += 1
        if has_empty_answer(example):
            self.counts["have an empty answer"] += 1
        if any(message.role == "user" and MEDIA_MARK.search(message.content or "") for message in example.messages):
            self.counts["have a mark of an image or of sound in the text"] += 1
        if not any(message.role == "assistant" for message in example.messages):
            self.counts["have no answer"] += 1
        elif example.messages[-1].role != "assistant":
            self.counts["do not end with the assistant"] += 1

    @message
    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each property, with advice."""
        return tuple(
            f"{_rows(self.counts[text], text)}: {advice.replace(' them', ' it') if self.counts[text] == 1 else advice}"
            for text, advice in REMARKS.items()
            if self.counts[text]
        )


def has_empty_answer(example: Example) -> bool:
    """Whether a message of the assistant has neither text nor calls."""
    messages = (message for message in example.messages if message.role == "assistant")
    return any(not (message.content or "").strip() and not message.tool_calls for message in messages)


def has_orphan_result(example: Example) -> bool:
    """Whether the result of a tool has the id of no call before it."""
    ids = {message.tool_call_id for message in example.messages if message.role == "tool"} - {None}
    if not ids:
        return False
    for turn in example.messages:
        if turn.role == "tool" and turn.tool_call_id in ids:
            return True
        ids -= {call.id for call in turn.tool_calls or ()}
    return False


def _rows(count: int, text: str) -> str:
    return (
        f"1 row {text.replace('have', 'has').replace('do not', 'does not')}" if count == 1 else f"{count} rows {text}"
    )
