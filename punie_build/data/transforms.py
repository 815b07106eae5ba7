"""Maps: rewrites of examples, each with a name in the recipe. Filters never rewrite; a row no map changes keeps its bytes.

To add one: a class with `rewrite`, its name in `AnyMap` at the end of the file, a test.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from punie_build.data.filters.content import Secret, secret
from punie_build.schema.spec import Kind

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[dict[str, Any]], float_hook=lambda text: msgspec.Raw(text.encode()))


class Map(Kind, frozen=True, kw_only=True):
    """`rewrite` sees `messages` alone: all other keys of a row keep their bytes."""

    def concerns(self, line: bytes) -> bool:
        """A cheap look at the line: False where `rewrite` would surely change nothing."""
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record's messages in place; whether anything changed."""
        raise NotImplementedError


def rewritten(line: bytes, maps: Iterable[Map]) -> bytes:
    """The line after the maps: the same object if they change nothing. Raises ValueError for messages that cannot be read:
    those of a good row have no whole number of more digits than Python takes."""
    for each in maps:
        if each.concerns(line):
            record: dict[str, Any] = _keys.decode(line)
            try:
                record["messages"] = _messages.decode(record["messages"])
            except (msgspec.ValidationError, RecursionError) as error:
                raise ValueError(str(error)) from None
            if each.rewrite(record):
                line = msgspec.json.encode(record) + b"\n"
    return line


class StripMarkers(Map, frozen=True, kw_only=True, tag="strip-markers"):
    """Remove `markers` that a data set left in its texts: end-of-text tokens of another model, which would be learnt as words."""

    markers: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "<|endoftext|>",
        "<|im_end|>",
        "<|im_start|>",
        "<|eot_id|>",
        "</s>",
    )

    def concerns(self, line: bytes) -> bool:
        return any(marker.encode() in line for marker in self.markers) or b"\\u003c" in line.lower()

    def rewrite(self, record: dict[str, Any]) -> bool:
        changed = False
        for message in record["messages"]:
            text = message.get("content")
            if not isinstance(text, str) or not any(marker in text for marker in self.markers):
                continue
            while any(
                marker in text for marker in self.markers
            ):  # what is left may be a marker: `<|endof<|im_end|>text|>`
                for marker in self.markers:
                    text = text.replace(marker, "")
            message["content"], changed = text.strip(), True
        return changed


class SystemPrompt(Map, frozen=True, kw_only=True, tag="system-prompt"):
    """Give every conversation the system prompt `prompt`, in place of its own; `when = "missing"` only where it has none.

    A model that is served under one prompt should be trained under it.
    """

    prompt: str
    when: Literal["always", "missing"] = "always"

    def rewrite(self, record: dict[str, Any]) -> bool:
        messages = record["messages"]
        own = [message for message in messages if message["role"] == "system"]
        if own and (self.when == "missing" or [message.get("content") for message in own] == [self.prompt]):
            return False
        record["messages"] = [
            {"role": "system", "content": self.prompt},
            *(message for message in messages if message["role"] != "system"),
        ]
        return True


class Redact(Map, frozen=True, kw_only=True, tag="redact"):
    """Blank what must not be learnt: each find of `kinds` becomes `[private-key]`, `[token]`, `[email]` or `[ip]`."""

    kinds: Annotated[tuple[Secret, ...], Meta(min_length=1)] = ("private-key", "token", "email", "ip")

    def rewrite(self, record: dict[str, Any]) -> bool:
        changed = False
        for message in record["messages"]:
            places = [message, *(call["function"] for call in message.get("tool_calls") or ())]
            for place, key in zip(places, ("content", *["arguments"] * len(places)), strict=False):
                if isinstance(text := place.get(key), str):
                    for kind in self.kinds:
                        text = secret((kind,)).sub(f"[{kind}]", text)
                    changed |= text != place[key]
                    place[key] = text
        return changed


AnyMap = StripMarkers | SystemPrompt | Redact
