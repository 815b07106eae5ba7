"""Scores of the answers of one model, case by case, and their counts. All functions are pure.

An answer that is missing or cannot be scored counts as not passed, so that no gate opens on it; with more than 2 % of
such answers a result is not valid. Cases of a group, such as paraphrases, count as one unit with their mean. Without
groups each case is a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

from msgspec import Struct, field
from msgspec.structs import replace

from punie_build.evaluation import statistics
from punie_build.evaluation.checks.union import (
    UNSCORABLE,
    Answer,
    AnyCheck,
    CheckResult,
    expects_no_call,
    score_answer,
)
from punie_build.evaluation.combined_suite import CombinedSuite, part_of
from punie_build.evaluation.suite import Case, Suite, SuiteSplit

MAX_UNSCORED = 0.02  # fraction of answers that are missing or cannot be scored; a result with more is not valid


class CaseScore(Struct, frozen=True, kw_only=True):
    """The score of a case over all epochs.

    `score`: the mean graded score, in [0, 1]. `passes`: the answers that pass every check, of `epochs` scored answers.
    `errors`: the answers that are missing or cannot be scored; their score is 0. `failure`, `reason`: those of
    the first failure; empty if all pass.
    `expects_no_call`: the case requires an answer without tool calls. `called`, `malformed`: the answers with a tool
    call, and with markup that cannot be parsed. `share_weight`: the weight in pass rates. `n_tokens`, `seconds`: the
    mean of its answers, if measured.
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
    expects_no_call: bool = field(default=False, name="quiet")
    called: int = 0
    malformed: int = 0
    share_weight: float = 1.0
    n_tokens: float | None = field(default=None, name="tokens")
    seconds: float | None = None

    @property
    def answers(self) -> int:
        """The number of answers, with those that are missing or cannot be scored."""
        return self.epochs + self.errors

    @property
    def passed(self) -> bool:
        """Whether all answers pass."""
        return 0 < self.answers == self.passes

    @property
    def pass_rate(self) -> float:
        """The fraction of answers that pass."""
        return self.passes / self.answers if self.answers else 0.0


class AnswerRates(Struct, frozen=True, kw_only=True):
    """Rates over the answers of one model.

    `score`: the mean graded score, weighted. `irrelevant_calls`: answers with a tool call, of those to cases that
    expect none.
    `parse_rate`: answers whose tool calls can all be parsed. `errors`: answers that are missing or cannot be scored, of
    all requests. `truncated`: cases with a truncated answer. `reliability[k - 1]`: the probability that k answers to a
    case all pass (pass^k), `discovery[k - 1]`: that one of them does (pass@k). `n_tokens`, `seconds`: means over
    answers, and the 95th percentile over cases, if they were measured.
    """

    score: float
    irrelevant_calls: float
    parse_rate: float
    errors: float
    truncated: float
    reliability: tuple[float, ...] = ()
    discovery: tuple[float, ...] = ()
    n_tokens: float | None = field(default=None, name="tokens")
    seconds: float | None = None
    seconds_p95: float | None = None

    def metrics(self) -> dict[str, float]:
        """Return the rates under the names that gates use."""
        rates = {
            "score": self.score,
            "irrelevant_calls": self.irrelevant_calls,
            "parse_rate": self.parse_rate,
            "error_rate": self.errors,
            "truncated": self.truncated,
            "tokens": self.n_tokens,
            "seconds": self.seconds,
            "seconds_p95": self.seconds_p95,
        }
        attempts = {f"pass^{k}": rate for k, rate in enumerate(self.reliability, 1) if k > 1}
        attempts |= {f"pass@{k}": rate for k, rate in enumerate(self.discovery, 1) if k > 1}
        return {name: value for name, value in rates.items() if value is not None} | attempts


def answer_rates(cases: Sequence[CaseScore]) -> AnswerRates:
    """Compute the rates. Rates without a denominator are 0."""
    scored = [case for case in cases if case.epochs]
    n_scored, n_errors = sum(case.epochs for case in scored), sum(case.errors for case in cases)
    n_no_call = sum(case.epochs for case in scored if case.expects_no_call)
    n_irrelevant = sum(case.called for case in scored if case.expects_no_call)
    min_epochs = min((case.answers for case in cases), default=0)
    weight = sum(case.weight * case.share_weight for case in cases)
    tokens = [case.n_tokens for case in cases if case.n_tokens is not None]
    seconds = sorted(case.seconds for case in cases if case.seconds is not None)
    return AnswerRates(
        score=sum(case.score * case.weight * case.share_weight for case in cases) / weight if weight else 0.0,
        irrelevant_calls=n_irrelevant / n_no_call if n_no_call else 0.0,
        parse_rate=1 - sum(case.malformed for case in scored) / n_scored if n_scored else 0.0,
        errors=n_errors / (n_scored + n_errors) if n_scored + n_errors else 0.0,
        truncated=sum(case.failure == "truncated" for case in scored) / len(scored) if scored else 0.0,
        reliability=_mean_by_k(statistics.pass_hat_k, cases, min_epochs),
        discovery=_mean_by_k(statistics.pass_at_k, cases, min_epochs),
        n_tokens=sum(tokens) / len(tokens) if tokens else None,
        seconds=sum(seconds) / len(seconds) if seconds else None,
        seconds_p95=seconds[ceil(0.95 * len(seconds)) - 1] if seconds else None,
    )


def _mean_by_k(estimate: Callable[[int, int, int], float], cases: Sequence[CaseScore], most: int) -> tuple[float, ...]:
    """Return the mean over cases of an estimate for k attempts, for each k."""
    weights = [case.share_weight for case in cases]
    return tuple(
        sum(w * estimate(case.passes, case.answers, k) for w, case in zip(weights, cases, strict=True)) / sum(weights)
        for k in range(1, most + 1)
    )


def eval_metrics(suite: Suite, cases: Sequence[CaseScore], sound: bool) -> dict[str, float]:
    """Return the metrics of an eval for gates: pass rates in total, by split and category, and rates of answers."""
    metrics = {
        "passed": float(sum(case.passed for case in cases)),
        "cases": float(len(cases)),
        "share": _mean_pass_rate(cases),
    }
    for split in ("select", "confirm"):
        if in_split := [case for case in cases if case.split == split]:
            metrics[f"{split}.share"] = _mean_pass_rate(in_split)
    for category in dict.fromkeys(case.category for case in suite.cases):
        metrics[f"category.{category}.share"] = _mean_pass_rate([case for case in cases if case.category == category])
    if isinstance(suite, CombinedSuite):
        for part in suite.weights:
            in_part = [score for case, score in zip(suite.cases, cases, strict=True) if part_of(case) == part]
            metrics[f"suite.{part}.share"] = _mean_pass_rate(in_part)
    unscored = sum(case.errors for case in cases)
    return metrics | answer_rates(cases).metrics() | {"errors": unscored, "valid": valid(cases), "sound": float(sound)}


def valid(cases: Sequence[CaseScore]) -> float:
    """Return 1.0, or 0.0 if too many answers are missing or cannot be scored: then no gate opens."""
    return float(sum(case.errors for case in cases) <= MAX_UNSCORED * sum(case.answers for case in cases))


def _mean_pass_rate(cases: Sequence[CaseScore]) -> float:
    return pass_count(cases).rate


Score = Callable[[tuple[AnyCheck, ...], Answer], CheckResult]


def score_once(score_of: Score = score_answer) -> Score:
    """Return `score_of` with a memory: an answer is scored once, as its checks may run code."""
    results: dict[int, tuple[Answer, CheckResult]] = {}

    def score(checks: tuple[AnyCheck, ...], answer: Answer) -> CheckResult:
        if id(answer) not in results:
            results[id(answer)] = answer, score_of(checks, answer)
        return results[id(answer)][1]

    return score


def score_suite(
    suite: Suite, answers: Mapping[str, Answer | Iterable[Answer]], score_of: Score = score_answer
) -> tuple[CaseScore, ...]:
    """Score the answers by case id: one answer, or one for each epoch. Raise KeyError for a case without answers."""
    scores = []
    for case in suite.cases:
        epochs = answers[case.id]
        score = score_case(
            case, suite.split_of(case), [epochs] if isinstance(epochs, Answer) else list(epochs), score_of
        )
        weight = suite.share_weight(case)
        scores.append(score if weight == 1 else replace(score, share_weight=round(weight, 9)))
    return tuple(scores)


def score_case(case: Case, split: SuiteSplit, answers: list[Answer], score_of: Score = score_answer) -> CaseScore:
    """Score the answers to a case."""
    results = [score_of(case.checks, answer) for answer in answers]
    scored = [pair for pair in zip(answers, results, strict=True) if pair[1].failure not in UNSCORABLE]
    failed = [result for _, result in scored if not result.passed] or [
        result for result in results if not result.passed
    ]
    first = failed[0] if failed else CheckResult(1.0)
    return CaseScore(
        case=case.id,
        category=case.category,
        score=round(sum(result.score for _, result in scored) / len(results), 6) if scored else 0.0,
        passes=sum(result.passed for _, result in scored),
        epochs=len(scored),
        errors=len(results) - len(scored),
        failure=first.failure,
        reason=first.reason,
        split=split,
        group=case.group or case.id,
        weight=case.weight,
        expects_no_call=expects_no_call(case.checks),
        called=sum(bool(answer.calls) or answer.malformed for answer, _ in scored),
        malformed=sum(answer.malformed for answer, _ in scored),
        n_tokens=_mean(answer.n_tokens for answer in answers if isinstance(answer.n_tokens, int)),
        seconds=_mean(answer.seconds for answer in answers if answer.seconds is not None),
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return round(sum(known) / len(known), 6) if known else None


class PassCount(Struct, frozen=True):
    """The number of passed cases of `n`, and the 95 % interval of the pass rate.

    A case with several epochs counts as its pass rate. With groups, `units` is their number and `mean` the mean of
    their rates; with weights, `units` is the number of equal units that would be as precise.
    """

    passed: int | float
    n: int
    units: int | float = 0
    mean: float | None = None

    @property
    def rate(self) -> float:
        if self.mean is not None:
            return self.mean
        return self.passed / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        units = self.units or self.n
        return statistics.wilson_interval(self.rate * units, units)


def pass_count(cases: Sequence[CaseScore]) -> PassCount:
    """Count the passes of the cases."""
    passed = sum(case.pass_rate for case in cases)
    groups = [case.group or case.case for case in cases]
    units = statistics.cluster_means([case.pass_rate for case in cases], groups)
    rounded = int(passed) if passed == int(passed) else round(passed, 6)
    weights = statistics.cluster_means([case.share_weight for case in cases], groups)
    if len(set(weights)) > 1:
        mean = sum(w * rate for w, rate in zip(weights, units, strict=True)) / sum(weights)
        effective = sum(weights) ** 2 / sum(w * w for w in weights)
        return PassCount(rounded, len(cases), round(effective, 6), round(mean, 6))
    if len(units) == len(cases):
        return PassCount(rounded, len(cases))
    return PassCount(rounded, len(cases), len(units), round(sum(units) / len(units), 6))
