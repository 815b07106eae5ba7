"""The chat template of a base, as a server applies it, with its end marks and the forms in which it is offered calls.

Pure: the tokenizer is passed in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from punie_build.models.rendered_row import PLACEHOLDER, REASONING_NAMES, Messages, RenderedRow, Rendering
from punie_build.models.thoughts import ThoughtTail

CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
DATE = datetime(2024, 7, 26)  # that Llama writes where it knows none: the same rows give the same tokens on any day


class ChatTemplate:
    """The chat template of a base with its arguments, as a server applies it. Its clock stands still."""

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self.tokenizer, self.arguments = tokenizer, dict(arguments or {})
        own = getattr(tokenizer, "chat_template", None)
        if isinstance(own, str) and (dated := CLOCK.sub(lambda call: json.dumps(DATE.strftime(call[2])), own)) != own:
            self.arguments["chat_template"] = dated
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
                return Rendering(self, offered, tools, whole).row(
                    {} if form is CALL_FORMS[0] else {"other_call_forms": 1}
                )
        if first is None:
            raise error or ValueError("no form of its calls can be rendered")
        return Rendering(self, first[0], tools, first[1]).row({})

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
