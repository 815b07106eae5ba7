"""All checks, and the score of an answer by several checks.

To add a check, write a class with `score` and `reference` in the module of its family (`tool_calls`, `text`,
`python_code`), and add it to `AnyCheck` and to the table of `tests/unit/evaluation/test_checks.py`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from punie_build.evaluation.checks.check import Check, Reference
from punie_build.evaluation.checks.execution import EndState, Execute
from punie_build.evaluation.checks.python_code import PythonCode
from punie_build.evaluation.checks.python_hook import PythonHook
from punie_build.evaluation.checks.response import FAILURES, PASS, Answer, CheckResult
from punie_build.evaluation.checks.text import (
    EMPTY,
    Contains,
    Equals,
    Finish,
    Json,
    Keywords,
    Latency,
    MatchesRegex,
    NotContains,
)
from punie_build.evaluation.checks.tool_calls import Calls, ExpectedCall, NoCall, Recall
from punie_build.schema.spec import Spec

__all__ = [
    "FAILURES",
    "UNSCORABLE",
    "Answer",
    "AnyCheck",
    "Calls",
    "Check",
    "CheckResult",
    "Contains",
    "EndState",
    "Equals",
    "Execute",
    "ExpectedCall",
    "Finish",
    "Json",
    "Keywords",
    "Latency",
    "MatchesRegex",
    "NoCall",
    "Not",
    "NotContains",
    "PythonCode",
    "PythonHook",
    "Recall",
    "Reference",
    "Weighted",
    "WeightedCheck",
    "check_result",
    "expects_no_call",
    "score_answer",
]

UNSCORABLE = (
    "error",
    "cannot judge",
)  # failures that say nothing about the model: such answers are left out of all rates


class Not(Check, frozen=True, kw_only=True, tag="not"):
    """Pass answers that are not empty and that `check` does not pass.

    An answer that `check` cannot score stays unscorable.
    """

    check: AnyCheck

    def score(self, answer: Answer) -> CheckResult:
        if not answer.content.strip() and not answer.calls:
            return EMPTY
        result = self.check.score(answer)
        if result.failure in UNSCORABLE:
            return result
        return CheckResult(0.0, "wrong words", f"passes {self.check.__struct_config__.tag}") if result.passed else PASS

    def reference(self) -> Reference | None:
        return None if isinstance(self.check, Not) else Reference()


class WeightedCheck(Spec, frozen=True, kw_only=True):
    """A check among others, and how much it counts."""

    check: AnyCheck
    weight: Annotated[float, Meta(gt=0)] = 1.0


class Weighted(Check, frozen=True, kw_only=True, tag="weighted"):
    """Pass answers for which the share of `checks` that pass, by weight, is at least `threshold`.

    The score is that share. Another `weighted` check among them counts with its own share. If a check cannot score the
    answer, the answer cannot be scored.
    """

    checks: Annotated[tuple[WeightedCheck, ...], Meta(min_length=1)]
    threshold: Annotated[float, Meta(gt=0, le=1)] = 1.0

    def score(self, answer: Answer) -> CheckResult:
        results = [member.check.score(answer) for member in self.checks]
        if unscorable := next((result for result in results if result.failure in UNSCORABLE), None):
            return unscorable
        pairs = list(zip(self.checks, results, strict=True))
        shares = [result.score if isinstance(member.check, Weighted) else result.passed for member, result in pairs]
        total = sum(member.weight for member in self.checks)
        score = sum(member.weight * share for member, share in zip(self.checks, shares, strict=True)) / total
        failed = [result for result in results if not result.passed]
        if score >= self.threshold - 1e-9 or not failed:
            return CheckResult(score)
        reasons = "; ".join(result.reason for result in failed)
        return CheckResult(score, failed[0].failure, f"{score:.2f} of {self.threshold:g}: {reasons}")

    def reference(self) -> Reference | None:
        parts = [member.check.reference() for member in self.checks]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return Reference(
            calls=tuple(call for part in known for call in part.calls),
            words=tuple(word for part in known for word in part.words),
            text=next((part.text for part in known if part.text is not None), None),
        )


AnyCheck = (
    Calls | NoCall | Keywords | Contains | NotContains | MatchesRegex | Equals | Json | PythonCode | Finish | Latency
    | Recall | PythonHook | Execute | EndState | Not | Weighted
)  # fmt: skip


def score_answer(checks: tuple[AnyCheck, ...], answer: Answer) -> CheckResult:
    """Score an answer by all checks: the mean score and the first failure.

    A missing, malformed or truncated answer fails with that class instead. If some check cannot score the answer and no
    other check fails, the answer cannot be scored.
    """
    if answer.error is not None:
        return CheckResult(0.0, "error", answer.error)
    results = [check_result(check, answer) for check in checks]
    scorable = [result for result in results if result.failure not in UNSCORABLE]
    score = sum(result.score for result in scorable) / len(scorable) if scorable else 0.0
    failed = next((result for result in scorable if not result.passed), None)
    if failed is None:
        return next((result for result in results if not result.passed), CheckResult(score))
    if answer.malformed:
        return CheckResult(score, "malformed", "a tool call that cannot be parsed")
    if answer.finish == "length":
        return CheckResult(score, "truncated", "truncated by max_tokens")
    if answer.finish == "turns":
        return CheckResult(score, "truncated", f"still calling tools after {answer.turns} turns")
    if not answer.raw.strip():
        return CheckResult(score, EMPTY.failure, EMPTY.reason)
    return CheckResult(score, failed.failure, failed.reason)


def check_result(check: AnyCheck, answer: Answer) -> CheckResult:
    """Score an answer by one check. An answer that the check fails to score, by any error, cannot be scored."""
    try:
        return check.score(answer)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return CheckResult(0.0, "cannot judge", f"the check `{check.__struct_config__.tag}` raised {problem}"[:500])


def expects_no_call(checks: tuple[AnyCheck, ...]) -> bool:
    """Return whether the checks require an answer without tool calls."""
    return any(isinstance(check, NoCall) for check in checks)
