"""The rendering of a conversation for a base: what is trained, counted, checked and shown is this text.

Pure: the tokenizer is passed in. For every assistant turn the template renders the prompt that a server would ask with,
and the conversation up to the turn. A text is such a prompt and the turn behind it, up to the token that ends
generation. Most templates render all turns of a conversation so in one text. Others render earlier turns in another way
once more turns follow (Qwen3.5 without their thoughts, gpt-oss with another end), or move the system prompt to the last
question (Mistral): these turns get texts of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from punie_build.models.thoughts import ThoughtTail, prompt_tail, split_thought

REASONING_NAMES = ("reasoning_content", "thinking")  # templates read either (Qwen3, DeepSeek; gpt-oss)
NOTES = {  # what a template leaves to us -> in words
    "open_turns": "turns that the chat template leaves open, given the end of the next turn or an end mark",
    "endless_turns": "turns without an end: the base names no token that ends generation",
    "empty_thoughts": "turns without a thought, trained with an empty one: the base is asked for one",
    "unused_thoughts": "turns with a thought, trained without it: the base is not asked for one",
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


class ChatTemplate:
    """The chat template of a base with its arguments, as a server applies it."""

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self.tokenizer, self.arguments = tokenizer, dict(arguments or {})
        self.ends = end_marks(tokenizer)
        self._follow_ups: dict[tuple[bool, bool], str] = {}
        self._closings: dict[str, str] = {}

    def apply(self, messages: Messages, tools: Any, prompt: bool) -> str:
        """Return messages as text; `prompt`: with the start of the next assistant turn. Raises any error."""
        return str(
            self.tokenizer.apply_chat_template(
                list(messages), tools=tools or None, tokenize=False, add_generation_prompt=prompt, **self.arguments
            )
        )

    def render(self, messages: Messages, tools: Any = None) -> RenderedRow:
        """Return the texts of a conversation. Raises any error of the template.

        Calls are offered as a server does, with arguments as objects. Where the template rejects or loses them so, they
        are offered with arguments as text, or without a content beside them.
        """
        names = [call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()]
        first: tuple[Messages, str] | None = None
        error: Exception | None = None
        for form in CALL_FORMS if names else CALL_FORMS[:1]:
            offered = form(messages)
            try:
                whole = self.apply(offered, tools, False)
            except Exception as reason:  # templates are code: they can raise any error
                error = error or reason
                continue
            first = first or (offered, whole)
            if all(name in whole for name in names) and not any(text in whole for text in _printed(offered)):
                return _Rendering(self, offered, tools, whole).row(
                    {} if form is CALL_FORMS[0] else {"other_call_forms": 1}
                )
        if first is None:
            raise error or ValueError("no form of its calls can be rendered")
        return _Rendering(self, first[0], tools, first[1]).row({})

    def closing(self, tail: ThoughtTail) -> str:
        """Return the text between a thought and the answer in this template, else the usual one."""
        if tail.text not in self._closings:
            turn = {"role": "assistant", "content": "\ue001", **dict.fromkeys(REASONING_NAMES, PLACEHOLDER)}
            try:
                text = self.apply([{"role": "user", "content": "Question"}, turn], None, False)
            except Exception:  # templates are code: they can raise any error
                text = ""
            between = text.rpartition(PLACEHOLDER)[2].partition("\ue001")[0]
            self._closings[tail.text] = between if tail.end in between else tail.closing
        return self._closings[tail.text]

    def end_of(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Return where the first end mark after `start` begins and ends, None without one."""
        found = [(index, index + len(mark)) for mark in self.ends if (index := text.find(mark, start)) >= 0]
        return min(found, key=lambda span: (span[0], -span[1]), default=None)

    def usual_end(self, message: Mapping[str, Any]) -> str:
        """Return the end mark that a turn without one is given: what follows such a turn in this template, if that
        ends generation, else the end mark of the tokenizer."""
        key = bool(message.get("tool_calls")), bool(message.get("content"))
        if key not in self._follow_ups:
            self._follow_ups[key] = self._follow_up(message)
        return self._follow_ups[key]

    def _follow_up(self, message: Mapping[str, Any]) -> str:
        turn = {**message, "content": PLACEHOLDER}
        question: list[Mapping[str, Any]] = [{"role": "user", "content": "Question"}, turn]
        calls = message.get("tool_calls") or ()
        results = [
            {"role": "tool", "name": call["function"]["name"], "tool_call_id": call.get("id", ""), "content": "Result"}
            for call in calls
        ]
        following: list[Mapping[str, Any]] = list(results) or [{"role": "user", "content": "Question"}]
        try:
            alone = self.apply(question, None, False).rpartition(PLACEHOLDER)[2].rstrip()
            text = self.apply([*question, *following], None, False).rpartition(PLACEHOLDER)[2]
        except Exception:  # templates are code: they can raise any error
            alone, text = "", "-"
        rest = text[len(alone) :].lstrip() if text.startswith(alone) else ""
        own = str(getattr(self.tokenizer, "eos_token", None) or "")
        marks = [own, *self.ends] if own in self.ends else list(self.ends)
        return next((mark for mark in self.ends if rest.startswith(mark)), next(iter(marks), ""))


def end_marks(tokenizer: Any) -> tuple[str, ...]:
    """Return the texts of the tokens that end generation, the longest first."""
    inner = tokenizer if callable(tokenizer) else getattr(tokenizer, "_tokenizer", tokenizer)
    ids = {tokenizer.eos_token_id} if callable(tokenizer) else tokenizer.eos_token_ids
    marks = {str(inner.convert_ids_to_tokens(number)) for number in ids if number is not None} - {"None", ""}
    return tuple(sorted(marks, key=lambda mark: (-len(mark), mark)))


def text_arguments(messages: Messages) -> list[dict[str, Any]]:
    """Return messages whose calls have their arguments as JSON text."""
    copies = [dict(message) for message in messages]
    for message in copies:
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": _as_text(call["function"]["arguments"])}}
                for call in calls
            ]
    return copies


def without_content(messages: Messages) -> list[dict[str, Any]]:
    """Return messages in which calls without words have the content null, which DeepSeek's templates test for."""
    return [{**m, "content": None} if m.get("tool_calls") and not m.get("content") else dict(m) for m in messages]


CALL_FORMS: tuple[Callable[[Messages], Messages], ...] = (
    lambda messages: messages,
    text_arguments,
    without_content,
    lambda messages: text_arguments(without_content(messages)),
)


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _printed(messages: Messages) -> list[str]:
    """Return the arguments of calls as Python prints them, where that is not JSON."""
    calls = [call["function"]["arguments"] for message in messages for call in message.get("tool_calls") or ()]
    return [text for arguments in calls if isinstance(arguments, dict) and "'" in (text := repr(arguments))]


class _Rendering:
    """The rendering of one conversation, whose text without a generation prompt is `whole`."""

    def __init__(self, template: ChatTemplate, messages: Messages, tools: Any, whole: str) -> None:
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
            variants.append(split_thought(turn)[2])  # Qwen3 writes an empty thought into the last turn only
        wholes: list[tuple[str, list[RenderedTurn]]] = [(self.whole, [])]
        for variant in variants:
            start, stop = len(prompt), len(prompt) + len(variant)
            for text, turns in [*reversed(self.texts), *wholes]:
                end = stop if mark else self.mark_at(text, stop)
                if end is None or not text.startswith(prompt + variant):
                    continue
                if not mark:
                    self.count("open_turns")
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
        """Return where in the text of a turn begins what the template appends to every conversation, else its end.

        Command R+ ends each text with an instruction of the system. Behind a call, which it leaves open, that is no
        part of the turn. It is what follows the last message before the turn as well.
        """
        before = [*self.messages[: index - 1], {**self.messages[index - 1], "content": PLACEHOLDER}]
        alone = self.template.apply(before, self.tools, False).rpartition(PLACEHOLDER)[2]
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
