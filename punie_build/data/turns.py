"""The transform `cut-turns`: long conversations are cut before a message of the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from punie_build.data.example import decode_example
from punie_build.data.filters.union import FilterContext
from punie_build.data.transform import RowRewriter, Transform

Messages = list[dict[str, Any]]


class CutTurns(Transform, frozen=True, kw_only=True, tag="cut-turns"):
    """Cut long conversations before a user's message, to at most `messages` messages, `chars` characters or `tokens`.

    Tokens are those of the whole row by the chat template and tokenizer of `base`. System messages stay. `keep` selects
    the first or the last turns; rows with a rejected answer or a label are cut only by "last". One turn always stays,
    however long it is. Turns that are cut, and rows that remain too long, are counted.
    """

    PACKAGES: ClassVar = ("mlx-lm", "transformers")
    messages: Annotated[int, Meta(ge=2)] | None = None
    chars: Annotated[int, Meta(ge=1)] | None = None
    tokens: Annotated[int, Meta(ge=1)] | None = None
    base: str | None = None
    keep: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        if self.messages is None and self.chars is None and self.tokens is None:
            raise ValueError("a map `cut-turns` has no limit - give `messages`, `chars` or `tokens`")
        if (self.tokens is None) != (self.base is None):
            raise ValueError("`tokens` are those of a `base` - give both, or neither")

    def rewrite(self, record: dict[str, Any]) -> bool:
        return self.bind(FilterContext()).rewrite(record)

    def bind(self, context: FilterContext) -> RowRewriter:
        return BoundCut(self, context)


class BoundCut:
    """A `cut-turns` of one pass, which counts the turns that it cuts."""

    def __init__(self, spec: CutTurns, context: FilterContext) -> None:
        from punie_build.data.chat_template import token_counter

        self.spec, self.counts = spec, Counter[str]()
        self.count_tokens = token_counter(context.bases[spec.base]) if spec.base else None

    def applies(self, line: bytes) -> bool:
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        form = bytes(record.get("form", b""))
        if form == b'"text"':  # raw text has no turns
            return False
        system, turns = _turns(record["messages"])
        if self.spec.keep == "last":
            turns.reverse()
        try:
            number = self._longest(record, system, turns)
        except (ValueError, RecursionError):  # of the template
            self.counts["rows that the chat template refuses, not cut by cut-turns"] += 1
            return False
        if number == len(turns):
            return False
        if form == b'"preference"' and self.spec.keep == "first":
            self.counts['rows with a rejected answer or a label, not cut: only `keep = "last"` cuts them'] += 1
            return False
        if not number:
            self.counts["rows of which one turn alone is beyond the limit of cut-turns"] += 1
        kept = turns[: max(1, number)]
        if len(kept) == len(turns):
            return False
        self.counts["turns cut by cut-turns"] += len(turns) - len(kept)
        record["messages"] = _joined(system, kept, self.spec.keep)
        return True

    def _longest(self, record: dict[str, Any], system: Messages, turns: Sequence[Messages]) -> int:
        """Return the number of turns that are within every limit; 0 if one turn is beyond a limit."""
        spec, count, size, number = self.spec, len(system), sum(map(_characters, system)), 0
        for turn in turns:
            count, size = count + len(turn), size + sum(map(_characters, turn))
            if count > (spec.messages or count) or size > (spec.chars or size):
                break
            number += 1
        if self.count_tokens is None or spec.tokens is None:
            return number
        limit, count_tokens = spec.tokens, self.count_tokens

        def fits(turns_kept: int) -> bool:
            messages = _joined(system, turns[:turns_kept], spec.keep)
            return count_tokens(decode_example(msgspec.json.encode({**record, "messages": messages}))) <= limit

        return _largest(number, fits)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, if all below it fit. `most` is tried first: most rows fit."""
    if not most or fits(most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _joined(system: Messages, turns: Sequence[Messages], keep: str) -> Messages:
    """Return the messages of a conversation. Turns to `keep` from the last on are in reverse order."""
    ordered = reversed(turns) if keep == "last" else turns
    return [*system, *(message for turn in ordered for message in turn)]


def _turns(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Return system messages and turns. A turn has a user's messages and all messages up to the next ones."""
    system = [message for message in messages if message["role"] == "system"]
    turns: list[list[dict[str, Any]]] = []
    for message in messages:
        if message["role"] == "user" and not (turns and turns[-1][-1]["role"] == "user"):
            turns.append([message])
        elif message["role"] != "system" and turns:
            turns[-1].append(message)
        elif message["role"] != "system":
            turns.append([message])
    return system, turns


def _characters(message: dict[str, Any]) -> int:
    """Return the characters of a message and its calls."""
    calls = message.get("tool_calls")
    texts = (message.get("content"), message.get("reasoning_content"))
    return sum(len(text) for text in texts if isinstance(text, str)) + (len(msgspec.json.encode(calls)) if calls else 0)
