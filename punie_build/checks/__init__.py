"""Checks: one class, one way to judge an answer. A check gives a score in [0, 1], and passes or does not.

To add one: a class with `judge`, its name in `AnyCheck`, a row in the table of `tests/test_checks.py`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from msgspec import Meta, field

from punie_build.checks.answer import FAILURES, Answer, Asked, Verdict
from punie_build.spec import Kind, Spec

__all__ = [
    "FAILURES",
    "Answer",
    "AnyCheck",
    "Asked",
    "Calls",
    "Check",
    "Expected",
    "Keywords",
    "NoCall",
    "Verdict",
    "judge",
    "quiet",
]


class Check(Kind, frozen=True, kw_only=True):
    def judge(self, answer: Answer) -> Verdict:
        raise NotImplementedError


class Expected(Spec, frozen=True, kw_only=True):
    """A call that should be made. A list as the value of an argument means: one of these."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def share(self, asked: Asked) -> float:
        """How much of this call was made: half for the name, half for the arguments, extra arguments counting as wrong."""
        if asked.name != self.name:
            return 0.0
        names = self.arguments.keys() | asked.arguments.keys()
        right = sum(
            name in self.arguments and name in asked.arguments and _matches(self.arguments[name], asked.arguments[name])
            for name in names
        )
        return 0.5 + 0.5 * (right / len(names) if names else 1.0)


def _matches(expected: Any, got: Any) -> bool:
    choices = expected if isinstance(expected, list) else [expected]
    return any(type(choice) is type(got) and choice == got for choice in choices)


class Calls(Check, frozen=True, kw_only=True):
    """Pass answers that make exactly these calls, in this order, with exactly these arguments."""

    calls: Annotated[tuple[Expected, ...], Meta(min_length=1)]

    def judge(self, answer: Answer) -> Verdict:
        shares = [expected.share(asked) for expected, asked in zip(self.calls, answer.calls, strict=False)]
        score = sum(shares) / max(len(self.calls), len(answer.calls))
        if score == 1.0:
            return Verdict(1.0)
        wanted, got = [c.name for c in self.calls], [c.name for c in answer.calls]
        if not got:
            return Verdict(score, "no call", f"expected {_shown(self.calls)}")
        if len(got) > len(wanted) and got[: len(wanted)] == wanted:
            return Verdict(score, "extra call", f"also called {', '.join(got[len(wanted) :])}")
        if wanted != got:
            return Verdict(score, "wrong tool", f"called {', '.join(got)}, expected {', '.join(wanted)}")
        return Verdict(score, "wrong arguments", f"expected {_shown(self.calls)}")


class NoCall(Check, frozen=True, kw_only=True):
    """Pass answers that call nothing: the question needs words."""

    def judge(self, answer: Answer) -> Verdict:
        if answer.calls or answer.malformed:
            return Verdict(
                0.0,
                "called on irrelevant",
                f"called {', '.join(c.name for c in answer.calls) or 'something unreadable'}",
            )
        return Verdict(1.0) if answer.content.strip() else Verdict(0.0, "empty", "said nothing")


class Keywords(Check, frozen=True, kw_only=True):
    """Pass answers whose words contain every keyword, whatever the case. The score is the share that occurs."""

    words: Annotated[tuple[str, ...], Meta(min_length=1)]

    def judge(self, answer: Answer) -> Verdict:
        missing = [word for word in self.words if word.lower() not in answer.content.lower()]
        score = 1 - len(missing) / len(self.words)
        return Verdict(score, "keyword missing", f"no {', '.join(missing)}") if missing else Verdict(1.0)


def _shown(calls: tuple[Expected, ...]) -> str:
    return ", ".join(f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in calls)


AnyCheck = Calls | NoCall | Keywords


def judge(checks: tuple[AnyCheck, ...], answer: Answer) -> Verdict:
    """All checks together: the mean score, and the first failure. What never came, broke or was cut off says so itself."""
    if answer.error is not None:
        return Verdict(0.0, "error", answer.error)
    verdicts = [check.judge(answer) for check in checks]
    score = sum(verdict.score for verdict in verdicts) / len(verdicts)
    failed = next((verdict for verdict in verdicts if not verdict.passed), None)
    if failed is None:
        return Verdict(score)
    if answer.malformed:
        return Verdict(score, "malformed", "a tool call that cannot be read")
    if answer.finish == "length":
        return Verdict(score, "truncated", "cut off by max_tokens")
    if not answer.raw.strip():
        return Verdict(score, "empty", "said nothing")
    return Verdict(score, failed.failure, failed.reason)


def quiet(checks: tuple[AnyCheck, ...]) -> bool:
    """Whether the checks ask for words and no call."""
    return any(isinstance(check, NoCall) for check in checks)
