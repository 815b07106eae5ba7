"""Scoring: the answers of one arm judged, case by case. Pure: the same answers score the same anywhere, in no time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from punie_build.checks import UNJUDGED, Answer, Verdict, judge, quiet
from punie_build.suites import Case, Side, Suite


class Scored(Struct, frozen=True, kw_only=True):
    """One case as it was judged, over all epochs.

    `epochs` are the answers that were judged, `passes` those of them that pass every check; `errors` counts what never came or could
    not be judged. `score` is the mean graded score, in [0, 1]. `failure` and `reason` are the first failure's: empty when all passed.
    `quiet`: the case asks for words and no call. `called` and `malformed` count answers with a call, and with markup that is no call.
    """

    case: str
    category: str
    score: float
    passes: int
    epochs: int = 1
    errors: int = 0
    failure: str = ""
    reason: str = ""
    split: Side = "confirm"
    group: str = ""
    weight: float = 1.0
    quiet: bool = False
    called: int = 0
    malformed: int = 0

    @property
    def passed(self) -> bool:
        """Whether it passed every time."""
        return 0 < self.epochs == self.passes

    @property
    def share(self) -> float:
        """The share of epochs that passed; 0 where nothing was judged."""
        return self.passes / self.epochs if self.epochs else 0.0


def score(suite: Suite, given: Mapping[str, Answer | Iterable[Answer]]) -> tuple[Scored, ...]:
    """Judge the answers to each case, one or one for each epoch. Raises KeyError for a case that was not asked."""
    return tuple(
        scored(case, suite.side(case), [answers] if isinstance(answers := given[case.id], Answer) else list(answers))
        for case in suite.case
    )


def scored(case: Case, side: Side, answers: list[Answer]) -> Scored:
    """The answers to one case."""
    verdicts = [judge(case.checks, answer) for answer in answers]
    counted = [each for each in zip(answers, verdicts, strict=True) if each[1].failure not in UNJUDGED]
    failed = [verdict for _, verdict in counted if not verdict.passed] or [v for v in verdicts if not v.passed]
    first = failed[0] if failed else Verdict(1.0)
    return Scored(
        case=case.id,
        category=case.category,
        score=round(sum(verdict.score for _, verdict in counted) / len(counted), 6) if counted else 0.0,
        passes=sum(verdict.passed for _, verdict in counted),
        epochs=len(counted),
        errors=len(verdicts) - len(counted),
        failure=first.failure,
        reason=first.reason,
        split=side,
        group=case.group or case.id,
        weight=case.weight,
        quiet=quiet(case.checks),
        called=sum(bool(answer.calls) or answer.malformed for answer, _ in counted),
        malformed=sum(answer.malformed for answer, _ in counted),
    )
