"""Checks: one class, one way to judge an answer. A check gives a score in [0, 1], and passes or does not.

To add one: a class with `judge` and `right` in the file of its family (`calls`, `texts`, `code`), its name in `AnyCheck`, a row in the
table of `tests/unit/evaluation/test_checks.py`.
"""

from __future__ import annotations

from punie_build.evaluation.checks.check import Check, Right
from punie_build.evaluation.checks.python_code import Code
from punie_build.evaluation.checks.python_hook import Python
from punie_build.evaluation.checks.response import FAILURES, PASS, Answer, Asked, Verdict
from punie_build.evaluation.checks.text import (
    Contains,
    Equals,
    Finish,
    Json,
    Keywords,
    Latency,
    NotContains,
    Regex,
)
from punie_build.evaluation.checks.tool_calls import Calls, Expected, NoCall, Recall

__all__ = [
    "FAILURES",
    "UNJUDGED",
    "Answer",
    "AnyCheck",
    "Asked",
    "Calls",
    "Check",
    "Code",
    "Contains",
    "Equals",
    "Expected",
    "Finish",
    "Json",
    "Keywords",
    "Latency",
    "NoCall",
    "Not",
    "NotContains",
    "Python",
    "Recall",
    "Regex",
    "Right",
    "Verdict",
    "judge",
    "quiet",
]

UNJUDGED = ("error", "cannot judge")  # nobody knows whether such an answer is right: it counts neither way


class Not(Check, frozen=True, kw_only=True, tag="not"):
    """Pass answers that say or call something and that `check` does not pass. What cannot be judged stays so, and passes nothing."""

    check: AnyCheck

    def judge(self, answer: Answer) -> Verdict:
        if not answer.content.strip() and not answer.calls:
            return Verdict(0.0, "empty", "said nothing")
        verdict = self.check.judge(answer)
        if verdict.failure in UNJUDGED:
            return verdict
        return Verdict(0.0, "wrong words", f"passes {type(self.check).__name__.lower()}") if verdict.passed else PASS

    def right(self) -> Right | None:
        return None if isinstance(self.check, Not) else Right()


AnyCheck = (
    Calls | NoCall | Keywords | Contains | NotContains | Regex | Equals | Json | Code | Finish | Latency | Recall | Python | Not
)  # fmt: skip


def judge(checks: tuple[AnyCheck, ...], answer: Answer) -> Verdict:
    """All checks together: the mean score, and the first failure. What never came, broke or was cut off says so itself; where one check
    cannot judge and no other objects, neither can all."""
    if answer.error is not None:
        return Verdict(0.0, "error", answer.error)
    verdicts = [check.judge(answer) for check in checks]
    told = [verdict for verdict in verdicts if verdict.failure not in UNJUDGED]
    score = sum(verdict.score for verdict in told) / len(told) if told else 0.0
    failed = next((verdict for verdict in told if not verdict.passed), None)
    if failed is None:
        return next((verdict for verdict in verdicts if not verdict.passed), Verdict(score))
    if answer.malformed:
        return Verdict(score, "malformed", "a tool call that cannot be read")
    if answer.finish == "length":
        return Verdict(score, "truncated", "cut off by max_tokens")
    if answer.finish == "turns":
        return Verdict(score, "truncated", f"still calling after {answer.turns} turns")
    if not answer.raw.strip():
        return Verdict(score, "empty", "said nothing")
    return Verdict(score, failed.failure, failed.reason)


def quiet(checks: tuple[AnyCheck, ...]) -> bool:
    """Whether the checks ask for words and no call."""
    return any(isinstance(check, NoCall) for check in checks)
