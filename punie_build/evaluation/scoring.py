"""Scoring: the answers of one arm judged, case by case. Pure: the same answers score the same anywhere, in no time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from punie_build.evaluation import statistics
from punie_build.evaluation.checks.union import UNSCORABLE, Answer, CheckResult, expects_no_call, score_answer
from punie_build.evaluation.suite import Case, Suite, SuiteSplit


class CaseScore(Struct, frozen=True, kw_only=True):
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
    split: SuiteSplit = "confirm"
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


class AnswerRates(Struct, frozen=True, kw_only=True):
    """What an arm does besides being right or wrong, as shares of its answers.

    `irrelevant_calls`: answers with a call where the case asks for words. `parse_rate`: answers in which every call could be read.
    `errors`: answers that never came or cannot be judged, of all that were asked. `truncated`: cases whose answer was cut off. `score` is
    the mean graded score, weighted. `reliability[k - 1]`: the chance that k tries at a case all pass.
    """

    score: float
    irrelevant_calls: float
    parse_rate: float
    errors: float
    truncated: float
    reliability: tuple[float, ...] = ()

    def metrics(self) -> dict[str, float]:
        return {
            "score": self.score,
            "irrelevant_calls": self.irrelevant_calls,
            "parse_rate": self.parse_rate,
            "error_rate": self.errors,
            "truncated": self.truncated,
        }


def answer_rates(cases: Sequence[CaseScore]) -> AnswerRates:
    """The rates of judged cases; 0 irrelevant calls where nothing asks for words."""
    judged = [case for case in cases if case.epochs]
    answers, lost = sum(case.epochs for case in judged), sum(case.errors for case in cases)
    quiet_answers = sum(case.epochs for case in judged if case.quiet)
    tries = min((case.epochs for case in judged), default=0)
    weight = sum(case.weight for case in judged)
    return AnswerRates(
        score=sum(case.score * case.weight for case in judged) / weight if weight else 0.0,
        irrelevant_calls=sum(case.called for case in judged if case.quiet) / quiet_answers if quiet_answers else 0.0,
        parse_rate=1 - sum(case.malformed for case in judged) / answers if answers else 0.0,
        errors=lost / (answers + lost) if answers + lost else 0.0,
        truncated=sum(case.failure == "truncated" for case in judged) / len(judged) if judged else 0.0,
        reliability=tuple(
            sum(statistics.pass_hat_k(case.passes, case.epochs, k) for case in judged) / len(judged)
            for k in range(1, tries + 1)
        ),
    )


def eval_metrics(suite: Suite, cases: Sequence[CaseScore], sound: bool) -> dict[str, float]:
    """What gates may ask of an eval: `share` is of all cases, `confirm.share` and `select.share` of a side, `category.NAME.share` of one."""
    found = {"passed": float(sum(case.passed for case in cases)), "cases": float(len(cases)), "share": _share(cases)}
    for side in ("select", "confirm"):
        if some := [case for case in cases if case.split == side]:
            found[f"{side}.share"] = _share(some)
    for category in dict.fromkeys(case.category for case in suite.cases):
        found[f"category.{category}.share"] = _share([case for case in cases if case.category == category])
    return found | answer_rates(cases).metrics() | {"sound": float(sound)}


def _share(cases: Sequence[CaseScore]) -> float:
    judged = [case for case in cases if case.epochs]
    return sum(case.share for case in judged) / len(judged) if judged else 0.0


def score_suite(suite: Suite, given: Mapping[str, Answer | Iterable[Answer]]) -> tuple[CaseScore, ...]:
    """Judge the answers to each case, one or one for each epoch. Raises KeyError for a case that was not asked."""
    return tuple(
        score_case(
            case, suite.split_of(case), [answers] if isinstance(answers := given[case.id], Answer) else list(answers)
        )
        for case in suite.cases
    )


def score_case(case: Case, side: SuiteSplit, answers: list[Answer]) -> CaseScore:
    """The answers to one case."""
    verdicts = [score_answer(case.checks, answer) for answer in answers]
    counted = [each for each in zip(answers, verdicts, strict=True) if each[1].failure not in UNSCORABLE]
    failed = [verdict for _, verdict in counted if not verdict.passed] or [v for v in verdicts if not v.passed]
    first = failed[0] if failed else CheckResult(1.0)
    return CaseScore(
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
        quiet=expects_no_call(case.checks),
        called=sum(bool(answer.calls) or answer.malformed for answer, _ in counted),
        malformed=sum(answer.malformed for answer, _ in counted),
    )
