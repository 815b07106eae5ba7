"""Span: what a stretch of text is, and what stands around the text that holds it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from punie_build.data.tool_call_markup.json_values import Call

MARKUPS = ("hermes", "qwen3-coder", "code-mode", "fenced-json", "glaive")
MEND = "mend the row or leave it out"


class Around(Struct, frozen=True):
    """What stands around a text: properties of the declared tools, whether a result follows, whether nothing does."""

    tools: dict[str, dict[str, Any]] = {}
    answered: bool = False
    last: bool = True
    markups: frozenset[str] = frozenset(MARKUPS)


class Span(Struct, frozen=True):
    """A stretch of text: calls, a fence that may be one (`problem`: why it cannot), or text to step over (no markup)."""

    start: int
    end: int
    calls: tuple[Call, ...] = ()
    markup: str | None = None
    problem: str | None = None


def starts_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def trimmed(value: str) -> str:
    """Without the line breaks the template puts around a value."""
    if value.startswith("\r\n") and value.endswith("\r\n"):
        return value[2:-2]
    return value.removeprefix("\n").removesuffix("\n")
