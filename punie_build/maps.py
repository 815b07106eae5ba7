"""Maps: rewrites of examples, each with a name in the recipe. Filters never rewrite; a row no map changes keeps its bytes.

To add one: a class with `rewrite`, its name in `AnyMap` at the end of the file, a test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from punie_build.filters.texts import Secret, secret
from punie_build.spec import Kind


class Map(Kind, frozen=True, kw_only=True):
    def concerns(self, line: bytes) -> bool:
        """A cheap look at the line: False where `rewrite` would surely change nothing."""
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record in place; whether anything changed."""
        raise NotImplementedError


class StripMarkers(Map, frozen=True, kw_only=True):
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
            if isinstance(text, str) and any(marker in text for marker in self.markers):
                for marker in self.markers:
                    text = text.replace(marker, "")
                message["content"] = text.strip()
                changed = True
        return changed


class SystemPrompt(Map, frozen=True, kw_only=True):
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


class Redact(Map, frozen=True, kw_only=True):
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
