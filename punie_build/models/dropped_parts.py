"""The parts of a conversation that are in none of its texts, because the chat template of the base drops them.

The dropped parts depend on the roles and parts of the messages, hardly on their words. So a conversation of the
same structure is rendered once, with a marker in the place of each part, and the answer holds for all of the structure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from punie_build.models.rendered_row import REASONING_NAMES, Messages, RenderedRow
from punie_build.models.served_template import ChatTemplate

DROPPED = {  # part -> whether the row asks for another task without it
    "system prompt": True,
    "question": True,
    "tool result": True,
    "answer": True,
    "call": True,
    "parallel call": True,
    "words beside a call": False,
    "thought": False,
    "system prompt of some turns": False,
    "question of some turns": False,
    "tool result of some turns": False,
}
_CONTEXT = {"system": "system prompt", "user": "question", "tool": "tool result"}


class DroppedParts:
    """The dropped parts of conversations, by their structure."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self._by_structure: dict[Any, Mapping[str, int]] = {}

    def of(self, messages: Messages, tools: Any) -> Mapping[str, int]:
        """Return how many of each part the template drops; none if it rejects the structure with markers."""
        structure = (bool(tools), *map(_structure, messages))
        if structure not in self._by_structure:
            marked = [_marked(number, message) for number, message in enumerate(messages)]
            try:
                row = self.template.render(marked, tools)
                self._by_structure[structure] = Counter(_dropped(marked, row))
            except Exception:  # the template reads the words: only the row itself can be rendered
                self._by_structure[structure] = {}
        return self._by_structure[structure]


def _structure(message: Mapping[str, Any]) -> tuple[Any, ...]:
    calls = [len(call["function"]["arguments"]) > 0 for call in message.get("tool_calls") or ()]
    return message["role"], bool(message.get("content")), bool(_thought(message)), *calls


def _thought(message: Mapping[str, Any]) -> str:
    return next((message[name] for name in REASONING_NAMES if message.get(name)), "")


def _marked(number: int, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with a marker instead of each of its parts. The names of calls and results fit together."""
    marked = {**message}
    if message.get("content"):
        marked["content"] = f"content{number}mark"
    for name in REASONING_NAMES:
        if message.get(name):
            marked[name] = f"thought{number}mark"
    if calls := message.get("tool_calls"):
        marked["tool_calls"] = [
            {**call, "function": {**call["function"], "name": f"call{number}n{order}mark"}}
            for order, call in enumerate(calls)
        ]
    return marked


def _dropped(messages: Messages, row: RenderedRow) -> Iterator[str]:
    """Yield the name of each dropped part."""
    turns = {turn.message: (text.prompt(turn), text.generated(turn)) for text, turn in row.turns()}
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            yield from _dropped_of_turn(message, turns.get(number, ("", ""))[1])
        elif content := message.get("content"):
            prompts = [prompt for later, (prompt, _) in turns.items() if later > number]
            texts = prompts or [text.text for text in row.texts]
            part = _CONTEXT[message["role"]]
            if not any(content in text for text in texts):
                yield part
            elif not all(content in text for text in texts):
                yield f"{part} of some turns"


def _dropped_of_turn(message: Mapping[str, Any], turn: str) -> Iterator[str]:
    content, calls = message.get("content"), message.get("tool_calls") or ()
    if content and content not in turn:
        yield "words beside a call" if calls else "answer"
    if (thought := _thought(message)) and thought not in turn:
        yield "thought"
    for order, call in enumerate(calls):
        if call["function"]["name"] not in turn:
            yield "parallel call" if order else "call"
