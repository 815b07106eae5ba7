"""Tokenization of conversations, with a loss mask that selects the tokens of the assistant. Pure: the tokenizer is
passed in.

The base's own chat template renders the whole conversation once. The turns are located in this text by rendering the
conversation up to each of them, and a token is in the loss mask if it overlaps a turn. Prefixes of *tokens* would be
wrong where a token spans the border of two turns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from punie_build.data.chat_template import REASONING_NAMES, text_tokens

Conversation = dict[str, Any]


class TokenizedRow(Struct, frozen=True):
    """The token ids of a conversation, and for each whether it is trained."""

    ids: list[int]
    loss_mask: list[bool]

    def truncated(self, length: int) -> TokenizedRow:
        """Return the first `length` tokens."""
        return TokenizedRow(self.ids[:length], self.loss_mask[:length])


CharRange = tuple[int, int]  # start and end, in characters
PLACEHOLDER = "\ue000"  # a private-use character: in no data, and kept by every template


def trained_ranges(render: Any, example: Conversation, mask: str) -> tuple[str, list[CharRange]]:
    """Return the rendered text, and its trained ranges. Raises ValueError if a turn cannot be located in it."""
    messages, tools = example["messages"], example.get("tools")
    text = render(messages, tools, False)
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if mask == "all":
        excluded = [_turn_range(render, example, text, index) for index in turns if not _is_trained(messages[index])]
        borders = [0, *(border for char_range in excluded for border in char_range), len(text)]
        return text, list(zip(borders[::2], borders[1::2], strict=True))
    chosen = turns[-1:] if mask == "last" else turns
    return text, [_turn_range(render, example, text, index) for index in chosen if _is_trained(messages[index])]


def _is_trained(message: Conversation) -> bool:
    """Whether a message is to be learned: OpenAI's format marks with `weight` 0 those that are not."""
    return message.get("weight") is None or message["weight"] != 0


def _turn_range(render: Any, example: Conversation, text: str, index: int) -> CharRange:
    """Return where the assistant's message with this index is in the rendered text, with its end-of-turn mark."""
    messages, tools = example["messages"], example.get("tools")
    before, after = render(messages[:index], tools, True), render(messages[: index + 1], tools, False).rstrip()
    if text.startswith(after) and after.startswith(before):
        return len(before), len(after)
    return _range_by_substitution(render, example, text, index)


def _range_by_substitution(render: Any, example: Conversation, text: str, index: int) -> CharRange:
    """Locate a turn that the template renders differently once more turns follow, such as one without its reasoning.

    Replaces the content of the turn by a placeholder and renders the conversation again: the two texts differ in the
    turn only. The end of the turn, such as `<|im_end|>`, belongs to it.
    """
    messages, tools = example["messages"], example.get("tools")
    substitute = {"role": "assistant", "content": PLACEHOLDER}
    try:
        other = render([*messages[:index], substitute, *messages[index + 1 :]], tools, False)
        single = [render([*messages[:index], turn], tools, False) for turn in (messages[index], substitute)]
    except Exception:  # a template that counts turns and calls may fail in any way
        other, single = "", ["", ""]
    start, end = _common_prefix(text, other), _common_prefix(text[::-1], other[::-1])
    ending = single[0][len(single[0]) - _common_prefix(single[0][::-1], single[1][::-1]) :].rstrip()
    if other[start : len(other) - end] != PLACEHOLDER or not text[len(text) - end :].startswith(ending):
        raise ValueError(
            "the chat template of this base renders earlier turns differently once more turns follow - "
            'use mask = "last" or "all"'
        )
    return start, len(text) - end + len(ending)


def _common_prefix(first: str, second: str) -> int:
    """Return the number of characters that two texts have in common at their start."""
    shorter = min(len(first), len(second))
    return next((index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), shorter)


def tokenize(tokenizer: Any, example: Conversation, mask: str) -> TokenizedRow:
    """Return the token ids and the loss mask of a conversation. `tokenizer` is mlx-lm's wrapper or a fast tokenizer."""

    def render(messages: Sequence[Any], tools: Any, add_generation_prompt: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                messages, tools=tools or None, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )

    if example.get("form") == "preference":
        raise ValueError("preference data: an adapter trains on one answer per row - use a dataset of the form chat")
    if example.get("form") == "text":
        ids = text_tokens(tokenizer, example["messages"][0]["content"])
        return TokenizedRow(ids, [True] * len(ids))
    text, ranges = trained_ranges(render, _with_parsed_arguments(example), mask)
    encoded = (tokenizer if callable(tokenizer) else tokenizer._tokenizer)(
        text, return_offsets_mapping=True, add_special_tokens=False
    )
    loss_mask = [
        any(first < end and start < last for start, end in ranges) for first, last in encoded["offset_mapping"]
    ]
    return TokenizedRow(list(encoded["input_ids"]), loss_mask)


def _with_parsed_arguments(example: Conversation) -> Conversation:
    """Return a conversation whose tool calls have arguments as objects.

    OpenAI keeps arguments as JSON text, while most templates expect the object that a server passes them.
    """
    messages = []
    for original in example["messages"]:
        message = {**original, "content": original.get("content") or ""}
        if reasoning := original.get("reasoning_content"):
            message |= dict.fromkeys(REASONING_NAMES, reasoning)
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [
                {
                    **call,
                    "function": {**call["function"], "arguments": _parsed(call["function"].get("arguments", "{}"))},
                }
                for call in calls
            ]
        messages.append(message)
    return {**example, "messages": messages}


def _parsed(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments
