"""What checks share: a way to judge, and a right answer to be tested with."""

from __future__ import annotations

from msgspec import Struct

from punie_build.evaluation.checks.response import Answer, Asked, Verdict
from punie_build.schema.spec import Kind


class Right(Struct, frozen=True, kw_only=True):
    """What a check asks of an answer: these calls, these words, or this whole text."""

    calls: tuple[Asked, ...] = ()
    words: tuple[str, ...] = ()
    text: str | None = None


class Check(Kind, frozen=True, kw_only=True):
    def judge(self, answer: Answer) -> Verdict:
        raise NotImplementedError

    def right(self) -> Right | None:
        """What would pass; None where the check does not say it: then the case needs an `oracle`."""
        return Right()
