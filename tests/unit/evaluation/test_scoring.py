from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine.gates import Gate, required
from punie_build.evaluation.checks.union import Answer, Contains, Latency, NoCall
from punie_build.evaluation.combined_suite import combine
from punie_build.evaluation.requirements import Requirements
from punie_build.evaluation.scoring import (
    AnswerRates,
    CaseScore,
    PassCount,
    answer_rates,
    eval_metrics,
    pass_count,
    score_answer,
    score_case,
    score_once,
    score_suite,
)
from punie_build.evaluation.spec import Eval
from punie_build.evaluation.suite import Case, Suite

YES = Contains(words=("yes",))


def case(name: str = "x", *checks: object, **fields: object) -> Case:
    return Case(id=name, category="words", prompt="p", checks=checks or (YES,), **fields)


def answer(text: str, epoch: int = 0) -> Answer:
    return Answer(case="x", raw=text, content=text, epoch=epoch)


def score(passes: int, epochs: int, group: str = "", **fields: object) -> CaseScore:
    return CaseScore(case=group or "x", category="c", score=0.5, passes=passes, epochs=epochs, group=group, **fields)


def test_a_case_passes_if_all_of_its_answers_pass():
    result = score_case(case(), "confirm", [answer("yes", 0), answer("yes", 1)])
    assert (result.passed, result.pass_rate, result.score) == (True, 1.0, 1.0)
    assert (result.failure, result.reason) == ("", "")


def test_the_first_failure_of_a_scored_answer_is_reported():
    timeout = Answer(case="x", error="timeout")
    result = score_case(case(), "confirm", [timeout, answer("no", 1), answer("yes", 2)])
    assert (result.passed, result.pass_rate, result.errors) == (False, pytest.approx(1 / 3), 1)
    assert result.failure == "keyword missing"


def test_a_case_with_only_errors_reports_the_first_error():
    result = score_case(case(), "confirm", [Answer(case="x", error="timeout")])
    assert (result.failure, result.epochs, result.errors) == ("error", 0, 1)
    assert (result.passed, result.pass_rate, result.score) == (False, 0.0, 0.0)


def test_the_scores_of_a_suite_are_in_its_order_with_their_split_and_group():
    suite = Suite(cases=(case("b", split="select", group="g", weight=2.0), case("a", NoCall(), split="confirm")))
    second, first = score_suite(suite, {"a": answer("words"), "b": [answer("yes"), answer("no", 1)]})
    assert (second.case, second.split, second.group, second.weight) == ("b", "select", "g", 2.0)
    assert (first.case, first.split, first.group) == ("a", "confirm", "a")
    assert (second.expects_no_call, first.expects_no_call) == (False, True)
    with pytest.raises(KeyError):
        score_suite(suite, {"a": answer("words")})


def test_metrics_have_the_pass_rates_of_all_cases_of_splits_and_of_categories():
    cases = (case("a", split="select"), case("b", split="confirm"))
    suite = Suite(cases=cases)
    scores = score_suite(suite, {"a": answer("yes"), "b": answer("no")})
    metrics = eval_metrics(suite, scores, sound=True)
    assert (metrics["passed"], metrics["cases"], metrics["share"], metrics["sound"]) == (1.0, 2.0, 0.5, 1.0)
    assert (metrics["select.share"], metrics["confirm.share"], metrics["category.words.share"]) == (1.0, 0.0, 0.5)
    selected = eval_metrics(suite, scores[:1], sound=False)
    assert "confirm.share" not in selected
    assert selected["sound"] == 0.0


def test_rates_without_a_denominator_are_zero():
    zero = AnswerRates(score=0.0, irrelevant_calls=0.0, parse_rate=0.0, errors=0.0, truncated=0.0)
    assert answer_rates([]) == zero
    assert answer_rates([]).metrics() == {
        "score": 0.0,
        "irrelevant_calls": 0.0,
        "parse_rate": 0.0,
        "error_rate": 0.0,
        "truncated": 0.0,
    }
    unscored = score_case(case("x", Latency(max=1)), "confirm", [answer("yes")])
    assert answer_rates([unscored]).errors == 1.0
    assert eval_metrics(Suite(cases=(case(),)), [unscored], sound=True)["category.words.share"] == 0.0


def test_no_gate_opens_on_answers_that_cannot_be_scored():
    """Eight of nine answers are unscored, and the ninth passes."""
    cases = [score_case(case(str(k), YES, Latency(max=1)), "confirm", [answer("yes")]) for k in range(8)]
    cases.append(score_case(case("8"), "confirm", [answer("yes")]))
    metrics = eval_metrics(Suite(cases=(case(),)), cases, sound=True)
    assert (metrics["valid"], metrics["errors"]) == (0.0, 8.0)
    assert metrics["share"] == metrics["score"] == metrics["category.words.share"] == pytest.approx(1 / 9)
    spec = Eval(arm="a", suite="s", gates=(Gate(metric="share", min=0.0),), require=Requirements(min_strict={"*": 0.9}))
    assert sorted(line.split("'")[1] for gate in required(spec) if (line := gate.problem(metrics))) == [
        "share",
        "valid",
    ]


def test_reliability_is_the_chance_that_k_answers_all_pass():
    rates = answer_rates([score(2, 2), score(1, 2)])
    assert rates.reliability == (0.75, 0.5)


def test_groups_are_the_units_of_a_pass_count():
    single = pass_count([score(1, 1, "a"), score(0, 1, "b"), score(0, 0, "c")])
    assert single == PassCount(1, 3)
    grouped = pass_count([score(1, 1, "a"), score(0, 1, "a"), score(1, 2, "b")])
    assert grouped == PassCount(1.5, 3, 2, 0.5)
    assert grouped.rate == 0.5
    assert grouped.interval == PassCount(1, 2).interval
    assert PassCount(0, 0).rate == 0.0


scores = st.lists(
    st.integers(0, 5).flatmap(
        lambda epochs: st.builds(
            score,
            passes=st.integers(0, epochs),
            epochs=st.just(epochs),
            group=st.sampled_from("abc"),
            weight=st.floats(0.1, 10),
            errors=st.integers(0, 2),
        )
    ),
    max_size=8,
)


@given(scores)
def test_every_rate_is_between_zero_and_one(cases):
    rates = answer_rates(cases)
    assert all(0 <= value <= 1 + 1e-9 for value in (*rates.metrics().values(), *rates.reliability))
    assert list(rates.reliability) == sorted(rates.reliability, reverse=True)
    count = pass_count(cases)
    assert 0 <= count.rate <= 1
    assert 0 <= count.interval[0] <= count.interval[1] <= 1


def test_the_pass_rate_of_a_combined_suite_is_the_weighted_mean_of_its_parts():
    parts = [("one", 3.0, Suite(cases=(case("a"), case("b")))), ("two", 1.0, Suite(cases=(case("a"),)))]
    suite = combine(parts)
    answers = {"one/a": answer("yes"), "one/b": answer("yes"), "two/a": answer("no")}
    metrics = eval_metrics(suite, score_suite(suite, answers), sound=True)
    assert (metrics["suite.one.share"], metrics["suite.two.share"]) == (1.0, 0.0)
    assert metrics["share"] == pytest.approx(0.75)


def test_an_answer_is_scored_once():
    scored = []

    def score_of(checks, given):
        scored.append(given.epoch)
        return score_answer(checks, given)

    once, given = score_once(score_of), answer("yes")
    assert once((YES,), given) is once((YES,), given)
    once((YES,), answer("no", 1))
    assert scored == [0, 1]
