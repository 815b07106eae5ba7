"""Tokens: conversations as token ids, with a mark on each the assistant is to learn. Pure: the tokenizer is given.

The text is rendered once with the base's own chat template. Turns are found as text, by rendering the conversation up to
them, and each token that overlaps a turn is marked: prefixes of *tokens* would be wrong where tokens join across the border.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

Conversation = dict[str, Any]


class Tokens(Struct, frozen=True):
    """`ids` and, for each, whether it is learnt."""

    ids: list[int]
    learnt: list[bool]

    def first(self, count: int) -> Tokens:
        return Tokens(self.ids[:count], self.learnt[:count])


Span = tuple[int, int]  # of characters
MARK = "\ue000"  # a character that nobody writes, and no template takes away


def spans(render: Any, example: Conversation, mask: str) -> tuple[str, list[Span]]:
    """The whole text, and the character ranges to learn. Raises ValueError if a turn cannot be found in it."""
    messages, tools = example["messages"], example.get("tools")
    text = render(messages, tools, False)
    if mask == "all":
        return text, [(0, len(text))]
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    found = []
    for index in turns[-1:] if mask == "last" else turns:
        before, after = render(messages[:index], tools, True), render(messages[: index + 1], tools, False).rstrip()
        if text.startswith(after) and after.startswith(before):
            found.append((len(before), len(after)))
        else:
            found.append(_rewritten(render, example, text, index))
    return text, found


def _rewritten(render: Any, example: Conversation, text: str, index: int) -> Span:
    """A turn that the template writes otherwise when more follows, as where it thinks in the last turn alone: what is there in
    place of a mark, when that is said instead, and what ends the turn."""
    messages, tools = example["messages"], example.get("tools")
    marked = {"role": "assistant", "content": MARK}
    try:
        other = render([*messages[:index], marked, *messages[index + 1 :]], tools, False)
        alone = [render([*messages[:index], turn], tools, False) for turn in (messages[index], marked)]
    except Exception:  # a template that counts turns and calls may fail in any way
        other, alone = "", ["", ""]
    start, end = _common(text, other), _common(text[::-1], other[::-1])
    ending = alone[0][len(alone[0]) - _common(alone[0][::-1], alone[1][::-1]) :].rstrip()
    if other[start : len(other) - end] != MARK or not text[len(text) - end :].startswith(ending):
        raise ValueError(
            'the chat template of this base writes earlier turns differently later on - use mask = "last" or "all"'
        )
    return start, len(text) - end + len(ending)


def _common(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def tokenize(tokenizer: Any, example: Conversation, mask: str) -> Tokens:
    """Token ids and marks of one conversation. `tokenizer` is mlx-lm's wrapper or a plain fast one."""

    def render(messages: Sequence[Any], tools: Any, prompt: bool) -> str:
        return str(
            tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, add_generation_prompt=prompt)
        )

    text, ranges = spans(render, _decoded(example), mask)
    encoded = (tokenizer if callable(tokenizer) else tokenizer._tokenizer)(
        text, return_offsets_mapping=True, add_special_tokens=False
    )
    learnt = [any(first < end and begin < last for begin, end in ranges) for first, last in encoded["offset_mapping"]]
    return Tokens(list(encoded["input_ids"]), learnt)


def _decoded(example: Conversation) -> Conversation:
    """Arguments as objects: OpenAI keeps them as JSON text, most templates expect what the server gives them, an object."""
    messages = []
    for original in example["messages"]:
        message = {**original, "content": original.get("content") or ""}
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": _loads(call["function"].get("arguments", "{}"))}}
                for call in calls
            ]
        messages.append(message)
    return {**example, "messages": messages}


def _loads(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments
