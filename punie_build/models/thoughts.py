"""Thoughts in texts of bases: the marks around them, and the thought that a prompt opens or closes."""

from __future__ import annotations

import re

from msgspec import Struct

MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought", "<channel|>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
)
_ANALYSIS = re.compile(r"(?s)<\|channel\|>analysis<\|message\|>.*?(?:<\|end\|>|\Z)")  # of gpt-oss
_THOUGHTS = tuple(
    (start, end, re.compile(f"(?s){re.escape(start)}.*?(?:{re.escape(end)}|\\Z)")) for start, end in MARKS
)
_PROMPT_TAILS = tuple(
    (start, end, f"(?:{re.escape(start)}\\s*)?{re.escape(end)}\\s*\\Z|{re.escape(start)}\\s*\\Z")
    for start, end in MARKS
)


class ThoughtTail(Struct, frozen=True):
    """The end of a prompt that opens a thought or closes one: its text, and the marks around the thought.

    A prompt may close a thought that it has not opened: Laguna and DeepSeek V3.1 ask for an answer with `</think>`.
    """

    text: str
    start: str
    end: str

    @property
    def closed(self) -> bool:
        """Whether the base is asked without a thought."""
        return self.end in self.text.removeprefix(self.start)

    @property
    def closing(self) -> str:
        """The usual text between a thought and the answer: the end mark, with the blanks after the start mark."""
        blank = self.text[len(self.start) :]
        return f"{blank}{self.end}" + ("" if self.start.startswith("<|channel>") else blank * 2)


def prompt_tail(prompt: str) -> ThoughtTail | None:
    """Return the thought that a prompt opens or closes at its end, None without one."""
    for start, end, pattern in _PROMPT_TAILS:
        if match := re.search(pattern, prompt):
            return ThoughtTail(match[0], start, end)
    return None


def split_thought(text: str) -> tuple[str, str, str]:
    """Split the text of a turn into its thought with the marks, the thought alone, and the rest.

    The start mark may be absent: then the prompt has opened the thought. All but the rest is empty without a thought.
    """
    for start, end in MARKS:
        before, mark, rest = text.partition(end)
        opened = before.lstrip().startswith(start)
        if mark and (opened or (not before.strip() and start not in rest)):
            length = len(text) - len(rest.lstrip())
            thought = before.lstrip()[len(start) :] if opened else before
            return text[:length], thought.strip(), text[length:]
    return "", "", text


def without_thoughts(text: str) -> str:
    """Return the text of a generated turn without its thoughts, also without one that the prompt opened."""
    text = _ANALYSIS.sub("", text)
    for start, end, thought in _THOUGHTS:
        if start in text:
            text = thought.sub("", text)
        text = text.rpartition(end)[2]
    return text
