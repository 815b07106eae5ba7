"""The rendering of a conversation for a base: what is trained, counted, checked and shown is this text.

Pure: the chat template is passed in. For every assistant turn it renders the prompt that a server would ask with, and
the conversation up to the turn. A text is such a prompt and the turn behind it, up to the token that ends
generation. Most templates render all turns of a conversation so in one text. Others render earlier turns in another way
once more turns follow (Qwen3.5 without their thoughts, gpt-oss with another end), or move the system prompt to the last
question (Mistral): these turns get texts of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from punie_build.models.thoughts import ThoughtTail, prompt_tail, split_thought

REASONING_NAMES = ("reasoning_content", "thinking")  # templates read either (Qwen3, DeepSeek; gpt-oss)
NOTES = {  # what a template leaves to us -> in words
    "open_turns": "turns that the chat template leaves open, given the end of the next turn or an end mark",
    "endless_turns": "turns without an end: the base names no token that ends generation",
    "empty_thoughts": "turns without a thought, trained with an empty one: the base is asked for one",
    "unused_thoughts": "turns with a thought, trained without it: the base is not asked for one",
    "bare_turns": "turns without the empty thought that the chat template writes into last turns only",
    "other_call_forms": "rows whose calls are in a form that mlx_lm.server does not give the chat template",
    "several_texts": "rows in several texts: the chat template renders earlier turns otherwise than it asks for them",
}
MARK, HEADER = 5, 64  # characters: the least of a mark, the most of what a template writes before a turn
PLACEHOLDER = "\ue000"  # a private-use character: in no data, and kept by every template
Messages = Sequence[Mapping[str, Any]]


class RenderedTurn(Struct, frozen=True):
    """An assistant turn in a text: the index of its message, and where it starts and ends, in characters.

    The text before `start` is the prompt of the server. The end mark, from `stop` to `end`, ends generation.
    """

    message: int
    start: int
    stop: int
    end: int


class RenderedText(Struct, frozen=True):
    """A text that a base reads, and the assistant turns in it, in order."""

    text: str
    turns: tuple[RenderedTurn, ...] = ()

    def prompt(self, turn: RenderedTurn) -> str:
        """Return the prompt that a server asks for a turn with."""
        return self.text[: turn.start]

    def generated(self, turn: RenderedTurn) -> str:
        """Return the text that the base has to generate for a turn, without the end mark."""
        return self.text[turn.start : turn.stop]


class RenderedRow(Struct, frozen=True):
    """The texts of a conversation, the last one with its last turn; `notes` counts each of `NOTES`."""

    texts: tuple[RenderedText, ...]
    notes: Mapping[str, int] = {}

    def turns(self) -> list[tuple[RenderedText, RenderedTurn]]:
        """Return each assistant turn with its text, in the order of the messages."""
        pairs = [(text, turn) for text in self.texts for turn in text.turns]
        return sorted(pairs, key=lambda pair: pair[1].message)


class ServedTemplate(Protocol):
    """The part of `served_template.ChatTemplate` that a rendering needs."""

    ends: tuple[str, ...]

    def apply(self, messages: Messages, tools: Any, prompt: bool) -> str:
        """Return messages as text."""

    def closing(self, tail: ThoughtTail) -> str:
        """Return the text between a thought and the answer."""

    def end_of(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Return where the first end mark begins and ends."""

    def usual_end(self, message: Mapping[str, Any]) -> str:
        """Return the end mark that a turn without one is given."""


class Rendering:
    """The rendering of one conversation, whose text without a generation prompt is `whole`."""

    def __init__(self, template: ServedTemplate, messages: Messages, tools: Any, whole: str) -> None:
        self.template, self.messages, self.tools, self.whole = template, messages, tools, whole
        self.texts: list[tuple[str, list[RenderedTurn]]] = []  # the last turn first

    def row(self, notes: dict[str, int]) -> RenderedRow:
        """Return the texts of all turns."""
        self.notes = notes
        turns = [index for index, message in enumerate(self.messages) if message["role"] == "assistant"]
        for index in reversed(turns):
            self.place(index)
        texts = [RenderedText(text, tuple(reversed(spans))) for text, spans in reversed(self.texts)]
        if len(texts) > 1:
            self.count("several_texts")
        return RenderedRow(tuple(texts) or (RenderedText(self.whole),), self.notes)

    def place(self, index: int) -> None:
        """Find a turn in a text of later turns or in the whole conversation, or give it a text of its own."""
        prompt = self.template.apply(self.messages[:index], self.tools, True) if index else self.opening()
        turn = self.completion(index, prompt)
        mark = self.template.end_of(turn)
        turn = turn[: mark[1]] if mark else turn.rstrip()
        mark_length = mark[1] - mark[0] if mark else 0
        variants = [turn]
        if not self.thought_of(index) and prompt_tail(prompt) is None:
            bare = split_thought(turn)[2]  # Qwen3 writes an empty thought into the last turn only
            variants += [bare] if bare != turn else []
        wholes: list[tuple[str, list[RenderedTurn]]] = [(self.whole, [])]
        for variant in variants:
            start, stop = len(prompt), len(prompt) + len(variant)
            for text, turns in [*reversed(self.texts), *wholes]:
                end = stop if mark else self.mark_at(text, stop)
                if end is None or not text.startswith(prompt + variant):
                    continue
                if not mark:
                    self.count("open_turns")
                if variant is not turn:
                    self.count("bare_turns")
                if not turns:
                    self.texts.append((text, turns))
                turns.append(RenderedTurn(index, start, stop - mark_length, end))
                return
        text, stop = prompt + turn, len(prompt) + len(turn) - mark_length
        if not mark:
            end_mark = self.template.usual_end(self.messages[index])
            self.count("open_turns" if end_mark else "endless_turns")
            text += end_mark
        self.texts.append((text, [RenderedTurn(index, len(prompt), stop, len(text))]))

    def opening(self) -> str:
        """Return the text before an assistant's message that begins a conversation, which no server is asked for."""
        texts = [
            self.template.apply([{**self.messages[0], "content": content}], self.tools, False)
            for content in (self.messages[0].get("content"), PLACEHOLDER)
        ]
        return texts[0][: _common_prefix(*texts)]

    def mark_at(self, text: str, position: int) -> int | None:
        """Return the end of the end mark that stands at a position, behind blanks at most."""
        blanks = len(text[position:]) - len(text[position:].lstrip())
        marks = [mark for mark in self.template.ends if text.startswith(mark, position + blanks)]
        return position + blanks + len(marks[0]) if marks else None

    def thought_of(self, index: int) -> str:
        message = self.messages[index]
        own = next((message[name] for name in REASONING_NAMES if message.get(name)), "")
        return str(own).strip() or split_thought(message.get("content") or "")[1]

    def completion(self, index: int, prompt: str) -> str:
        """Return the text that a server would have to generate behind its prompt for this turn, and the text that the
        template adds.

        Where the prompt opens a thought, the completion closes it; where the prompt closes one, it has none.
        """
        tail, thought, messages = prompt_tail(prompt), self.thought_of(index), self.messages[: index + 1]
        if tail and tail.closed and thought:
            messages = [*messages[:-1], _without_thought(messages[-1])]
        text = self.template.apply(messages, self.tools, False)
        if tail is None:
            return text[len(prompt) :] if text.startswith(prompt) else self.turn_behind(index, text, prompt)
        if tail.closed == bool(thought):
            self.count("unused_thoughts" if thought else "empty_thoughts")
        if text.startswith(prompt) and (tail.closed or tail.end in text[len(prompt) :]):
            return text[len(prompt) :]
        turn = self.turn_behind(index, text, prompt[: len(prompt) - len(tail.text)])
        marked, _, rest = split_thought(turn)
        if tail.closed:
            return rest
        if not marked:
            return f"{thought}{self.template.closing(tail)}{rest.lstrip()}"
        return turn.lstrip().removeprefix(tail.start).removeprefix(tail.text[len(tail.start) :])

    def turn_behind(self, index: int, text: str, prompt: str) -> str:
        """Return the last turn of a text that does not begin with its prompt, without the blanks of the prompt's end.

        Where the context differs, as that of a system prompt that moves, the turn starts where the text of another turn
        does, or a bit before: where the text ends as the prompt does.
        """
        stem = prompt.rstrip()
        if text.startswith(stem):
            return _without_blanks(text[len(stem) :], prompt[len(stem) :])
        text = text[: self.appendix(index, text)]
        other: Mapping[str, Any] = {"role": "assistant", "content": PLACEHOLDER}
        first = _common_prefix(text, self.template.apply([*self.messages[:index], other], self.tools, False))
        context = [content for message in self.messages[:index] if (content := message.get("content"))]
        starts = [
            start
            for start in range(max(first - HEADER, 0), first + 1)
            if text[:start].endswith(stem[-MARK:]) and not any(part in text[start:first] for part in context)
        ]
        start = max(starts, default=first)
        if any(part in text[start:] for part in context):  # they may stand in the turn too, but before no other header
            header = text.rfind(stem[-2 * MARK :], start)
            start = header + 2 * MARK if header >= 0 else start
        return _without_blanks(text[start:], prompt[len(stem) :])

    def appendix(self, index: int, text: str) -> int:
        """Return where in the text of a turn the part begins that the template appends to every conversation.

        Command R+ ends each text with an instruction of the system. Behind a call, which it leaves open, that is no
        part of the turn. It also follows a first question, where no other words of the conversation can follow: what
        ends in the same letters as an earlier turn is no such part. Without it, return the end of the text.
        """
        system = [message for message in self.messages[:index] if message.get("role") == "system"]
        question: Mapping[str, Any] = {"role": "user", "content": PLACEHOLDER}
        alone = self.template.apply([*system, question], self.tools, False).rpartition(PLACEHOLDER)[2]
        start = len(text) - _common_prefix(text[::-1], alone[::-1])
        mark = self.template.end_of(text, start)
        return start if mark and text[start : mark[0]].strip() else len(text)

    def count(self, note: str) -> None:
        """Count a note of this conversation."""
        self.notes[note] = self.notes.get(note, 0) + 1


def _without_thought(message: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key not in REASONING_NAMES}
    return kept | {"content": split_thought(message.get("content") or "")[2]}


def _without_blanks(turn: str, blanks: str) -> str:
    return turn.removeprefix(blanks) if turn.startswith(blanks) else turn.lstrip()


def _common_prefix(first: str, second: str) -> int:
    """Return the number of characters that two texts have in common at their start."""
    shorter = min(len(first), len(second))
    return next((index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), shorter)
