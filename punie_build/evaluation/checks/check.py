"""The base class of checks, and the reference answer that a check can supply."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.response import Answer, CheckResult
from punie_build.schema.spec import TaggedSpec


class Reference(Struct, frozen=True, kw_only=True):
    """The parts of an answer that a check requires: tool calls, words, or the complete text."""

    calls: tuple[ToolCall, ...] = ()
    words: tuple[str, ...] = ()
    text: str | None = None


class Check(TaggedSpec, frozen=True, kw_only=True):
    """A rule that scores an answer."""

    NOUN: ClassVar = "check"

    def score(self, answer: Answer) -> CheckResult:
        raise NotImplementedError

    def reference(self) -> Reference | None:
        """Return parts of an answer that passes.

        None: the check defines no such answer, so the case needs an `oracle`.
        """
        return Reference()
