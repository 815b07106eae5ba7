from __future__ import annotations

from random import Random
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec import structs

from punie_build.data.example import Example, ToolCall
from punie_build.engine import gates
from punie_build.errors import IdentityError
from punie_build.evaluation import asked_weights, comparison, contamination, junit, scoring
from punie_build.evaluation.asked_weights import AskedWeights
from punie_build.evaluation.checks.union import (
    Answer,
    Calls,
    ExpectedCall,
    Latency,
    NoCall,
)
from punie_build.evaluation.comparison import ComparisonResult, compare
from punie_build.evaluation.contamination import ContaminatedCase
from punie_build.evaluation.requirements import Requirements
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.spec import Comparison, Eval
from punie_build.evaluation.suite import Case, Suite
from tests.unit.data.test_view import example


def arm(name: str, passes: list[bool], canary: str = "", **fields: object) -> Scores:
    """Case k is of category k % 2; the first 40 % are on select."""
    n = len(passes)
    cases = tuple(
        CaseScore(
            **(
                {
                    "case": f"c{k}",
                    "category": "ab"[k % 2],
                    "score": float(passed),
                    "passes": int(passed),
                    "failure": "" if passed else "wrong tool",
                    "split": "select" if k < 0.4 * n else "confirm",
                    "group": f"c{k}",
                }
                | fields
            )
        )
        for k, passed in enumerate(passes)
    )
    return Scores(arm=name, suite="s", cases=cases, canary=canary or name, base_canary="b")


def random_passes(share: float, n: int = 200, seed: int = 0) -> list[bool]:
    r = Random(f"{share} {seed}")
    return [r.random() < share for _ in range(n)]


def test_a_better_arm_improved_and_an_equal_one_is_equivalent():
    base, better = arm("base", random_passes(0.2)), arm("better", random_passes(0.7))
    result = compare("c", [base, better])
    assert result.verdict == "improved"
    assert result.split == "confirm"
    assert result.n == result.totals[0].n == 120
    assert result.all_totals[0].n == 200
    assert compare("c", [better, base]).verdict == "regressed"
    same = compare("c", [base, arm("again", random_passes(0.2))], parity=True)
    assert same.verdict == "equivalent"
    assert "no difference beyond 5 pp found" in comparison.comparison_summary(same)
    assert same.differences[0].unchanged == 1.0
    few = compare("c", [arm("base", random_passes(0.2, 20)), arm("again", random_passes(0.2, 20))])
    assert few.verdict == "inconclusive"
    assert f"minimum detectable effect {few.differences[0].detectable * 100:.0f} pp" in comparison.comparison_summary(
        few
    )


def test_equal_arms_rarely_differ_significantly():
    """A/A: over 200 pairs of arms that pass as often, a difference is claimed about as rarely as the interval says."""
    claims = 0
    for seed in range(200):
        result = compare("c", [arm("a", random_passes(0.5, 100, seed)), arm("b", random_passes(0.5, 100, seed + 1000))])
        claims += result.verdict in ("improved", "regressed")
    assert claims / 200 <= 0.075


def test_the_selected_arm_of_many_equal_ones_has_no_selection_bias():
    """Twelve arms that are no better than the first: the winner looks better on select, and is reported on confirm."""
    r, on_select, on_confirm, claims = Random(3), 0.0, 0.0, 0
    for _ in range(25):
        arms = [arm(f"a{k}", [r.random() < 0.5 for _ in range(100)]) for k in range(13)]
        result = compare("c", arms)
        assert result.selected is not None
        index = result.arms.index(result.selected.arm)
        on_select += result.selected.totals[index].rate - result.selected.totals[0].rate
        on_confirm += result.differences[index - 1].difference
        claims += result.verdict in ("improved", "regressed")
        assert len(result.selected.ties) > 3
    assert on_select / 25 > 0.08
    assert abs(on_confirm / 25) < 0.04
    assert claims / 25 <= 0.15


def test_without_select_cases_p_values_are_corrected_over_all_arms():
    arms = [
        arm("base", [False] * 20, split="confirm"),
        *(arm(f"a{k}", [k == 3 and c < 6 for c in range(20)], split="confirm") for k in range(8)),
    ]
    result = compare("c", arms)
    assert result.selected is not None
    assert result.selected.arm == "a3"
    [best] = [difference for difference in result.differences if difference.arm == "a3"]
    assert best.p == pytest.approx(0.03125)
    assert best.adjusted == pytest.approx(8 * 0.03125)
    assert result.verdict == "inconclusive"
    assert compare("c", [arms[0], arms[4]]).verdict == "improved", "alone it is asked one question"


def test_arms_with_equal_weights_are_an_error_without_parity():
    pair = [arm("a", random_passes(0.5), "x"), arm("b", random_passes(0.5), "x")]
    with pytest.raises(IdentityError, match="same weights"):
        compare("c", pair)
    assert compare("c", pair, parity=True).parity
    with pytest.raises(IdentityError, match="same weights"):
        compare("c", [pair[0], arm("b", random_passes(0.5), "y")], weights=[AskedWeights("1")] * 2)
    assert compare("c", pair, weights=[AskedWeights("1"), AskedWeights("2")]).arms == ("a", "b"), (
        "a canary accuses no two digests"
    )
    assert "their weights differ little" in asked_weights.similar_weights(pair, parity=False)[0]
    assert asked_weights.similar_weights(pair, parity=True) == []
    settings = [AskedWeights("1", "brief"), AskedWeights("1", "long")]
    assert compare("c", pair, weights=settings).arms == ("a", "b"), "one model may be asked in two ways"
    assert asked_weights.similar_weights(pair, False, settings) == []
    with pytest.raises(IdentityError, match="same weights"):
        compare("c", pair, weights=[AskedWeights("1", "brief")] * 2)


def test_arms_without_a_canary_are_compared_and_named():
    pair = [structs.replace(arm(name, [True] * 4), canary="") for name in "ab"]
    result = compare("c", pair)
    assert comparison.comparison_summary(result).endswith("identity not proven: a, b")
    assert asked_weights.similar_weights(pair, parity=False) == []


def test_missing_answers_count_against_the_arm_and_many_make_the_result_invalid():
    base = arm("a", random_passes(0.5))
    lost = msgspec.structs.replace(base.cases[150], epochs=0, passes=0, errors=1, failure="error", reason="timeout")
    one = msgspec.structs.replace(arm("b", random_passes(0.5)), cases=(*base.cases[:150], lost, *base.cases[151:]))
    right = msgspec.structs.replace(base.cases[150], passes=1)
    base = msgspec.structs.replace(base, cases=(*base.cases[:150], right, *base.cases[151:]))
    result = compare("c", [base, one])
    assert (result.differences[0].n, result.differences[0].lost, result.totals[1].n) == (120, 1, 120)
    assert result.verdict == "equivalent"
    reverse = compare("c", [one, base]).differences[0]
    assert (reverse.n, reverse.gained) == (119, 0), "an unscored answer of the base is no gain of the arm"
    many = tuple(
        msgspec.structs.replace(case, epochs=0, passes=0, errors=1) if k < 10 else case
        for k, case in enumerate(base.cases)
    )
    bad = compare("c", [base, msgspec.structs.replace(one, cases=many)])
    assert bad.verdict == "invalid"
    assert "10 of 200 answers of b are missing" in bad.objections[0]
    assert comparison.comparison_metrics(bad)["valid"] == 0.0


def test_contaminated_cases_are_reported_and_excluded():
    base, better = arm("a", [False] * 200), arm("b", [k > 180 for k in range(200)])
    contaminated = [
        ContaminatedCase(case=f"c{k}", location=f"data/x/train.jsonl:{k}", similarity=1.0, text="t")
        for k in range(181, 200)
    ]
    assert compare("c", [base, better]).verdict == "improved"
    result = compare("c", [base, better], contaminated=contaminated)
    assert result.n == 101
    assert result.verdict == "equivalent"
    assert result.all_totals[1].passed == 19
    assert "19 cases excluded" in comparison.comparison_summary(result)
    everything = [msgspec.structs.replace(contaminated[0], case=f"c{k}") for k in range(200)]
    assert compare("c", [base, better], contaminated=everything).verdict == "invalid"


def test_paraphrases_in_a_group_count_once():
    groups = [f"g{k // 10}" for k in range(200)]
    r = Random(7)
    passes = [r.random() < 0.3 for _ in range(20)]

    def grouped(name: str, passes: list[bool]) -> Scores:
        scores = arm(name, passes, split="confirm")
        return msgspec.structs.replace(
            scores,
            cases=tuple(msgspec.structs.replace(case, group=g) for case, g in zip(scores.cases, groups, strict=True)),
        )

    base, better = grouped("a", [False] * 200), grouped("b", [passes[k // 10] for k in range(200)])
    result = compare("c", [base, better]).differences[0]
    assert (result.n, result.units) == (200, 20)
    assert result.high - result.low > 0.3
    assert compare("c", [base, better]).totals[1].interval[1] - compare("c", [base, better]).totals[1].interval[0] > 0.3


def test_epochs_give_a_pass_rate_and_the_reliability():
    suite = Suite(
        tools="editor",
        cases=(
            Case(
                id="x",
                category="c",
                prompt="p",
                checks=(Calls(calls=(ExpectedCall(name="read_file", arguments={"path": "a"}),)),),
            ),
        ),
    )
    right, wrong = ToolCall("read_file", {"path": "a"}), ToolCall("read_file", {"path": "b"})
    answers = [Answer(case="x", raw="r", calls=(call,), epoch=k) for k, call in enumerate([right, wrong, right, right])]
    lost = Answer(case="x", error="timeout", epoch=4)
    [scored] = scoring.score_suite(suite, {"x": [*answers, lost]})
    assert (scored.passes, scored.epochs, scored.errors) == (3, 4, 1)
    assert scored.failure == "wrong arguments"
    assert not scored.passed
    assert scoring.answer_rates([scored]).reliability == pytest.approx((0.6, 0.3, 0.1, 0.0, 0.0))
    assert scoring.pass_count([scored]).rate == 0.6
    assert scoring.eval_metrics(suite, [scored], True)["error_rate"] == 0.2


def test_an_unscorable_answer_counts_as_an_error():
    suite = Suite(cases=(Case(id="x", category="c", prompt="p", checks=(Latency(max=1),)),))
    [scored] = scoring.score_suite(suite, {"x": Answer(case="x", raw="r", content="r")})
    assert (scored.epochs, scored.errors, scored.failure) == (0, 1, "cannot judge")


def test_answer_rates_count_irrelevant_and_malformed_calls():
    suite = Suite(
        tools="editor",
        cases=(
            Case(id="q", category="words", prompt="p", checks=(NoCall(),), weight=3.0),
            Case(id="r", category="words", prompt="p", checks=(NoCall(),)),
            Case(
                id="m",
                category="calls",
                prompt="p",
                checks=(Calls(calls=(ExpectedCall(name="read_file", arguments={"path": "a"}),)),),
            ),
        ),
    )
    answers = {
        "q": Answer(case="q", raw="hm", content="hm"),
        "r": Answer(case="r", raw="x", calls=(ToolCall("read_file", {}),)),
        "m": Answer(case="m", raw="<tool_call>", malformed=True, finish="length"),
    }
    result = scoring.answer_rates(scoring.score_suite(suite, answers))
    assert (result.irrelevant_calls, result.parse_rate, result.score) == (
        0.5,
        pytest.approx(2 / 3),
        pytest.approx(3 / 5),
    )


def test_requirements_become_gates():
    required = Requirements(
        min_strict={"*": 0.6, "a": 0.9},
        max_irrelevant_calls=0.1,
        no_regression=0.02,
        max_errors=0.0,
        min_parse_rate=0.99,
    )
    spec = Comparison(arms=("base", "better"), suite="s", require=required)
    result = compare("c", [arm("base", random_passes(0.2)), arm("better", random_passes(0.7))])
    lines = [line for gate in gates.required(spec) if (line := gate.problem(comparison.comparison_metrics(result)))]
    assert len(lines) == 1
    assert "better.category.a.share" in lines[0]
    worse = compare("c", [arm("base", random_passes(0.7)), arm("better", random_passes(0.2))])
    lines = [line for gate in gates.required(spec) if (line := gate.problem(comparison.comparison_metrics(worse)))]
    assert any("better.low" in line for line in lines)
    assert any("better.worst" in line for line in lines)
    unsound = comparison.comparison_metrics(msgspec.structs.replace(result, sound=False))
    lines = [line for gate in gates.required(spec) if (line := gate.problem(unsound))]
    assert any("'sound'" in line for line in lines)
    assert gates.required(Comparison(arms=("a", "b"), suite="s")) == ()
    with pytest.raises(ValueError, match="require them of a comparison"):
        Eval(arm="a", suite="s", require=Requirements(parity=0.02))


def test_parity_requires_the_interval_within_the_margin():
    spec = Comparison(arms=("a", "b"), suite="s", parity=True, require=Requirements(parity=0.05))
    n = 200
    same = comparison.comparison_metrics(
        compare("c", [arm("a", random_passes(0.7)), arm("b", random_passes(0.7))], parity=True)
    )
    other = comparison.comparison_metrics(
        compare("c", [arm("a", random_passes(0.7)), arm("b", random_passes(0.7, n, 1))], parity=True)
    )
    assert not [line for gate in gates.required(spec) if (line := gate.problem(same))]
    assert [line for gate in gates.required(spec) if (line := gate.problem(other))]


def test_a_result_decodes_to_itself_and_has_the_metrics_of_gates():
    result = compare("c", [arm("base", random_passes(0.2)), arm("x", random_passes(0.7)), arm("y", random_passes(0.6))])
    assert msgspec.json.decode(msgspec.json.encode(result), type=ComparisonResult) == result
    lines = comparison.comparison_metrics(result)
    assert lines["chosen.low"] == lines[f"{result.arm}.low"]
    assert {
        "base.share",
        "y.irrelevant_calls",
        "x.category.b.low",
        "x.parse_rate",
        "x.equivalent",
        "valid",
        "leaks",
    } <= set(lines)


def test_junit_has_every_case_and_only_regressions_fail():
    base, after = arm("a", [True, True, False, False]), arm("b", [True, False, True, False])
    after = msgspec.structs.replace(
        after,
        cases=tuple(
            msgspec.structs.replace(case, reason="says \x00<&>") if case.failure else case for case in after.cases
        ),
    )
    contaminated = [ContaminatedCase(case="c0", location="data/x/train.jsonl:3", similarity=1.0, text="t")]
    result = compare("c", [base, after], contaminated=contaminated)
    root = ET.fromstring(junit.to_xml("c", comparison.junit_results(result, [base, after])))
    [suite] = root
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "skipped")} == {
        "name": "b",
        "tests": "4",
        "failures": "1",
        "skipped": "2",
    }
    [failure] = suite.iter("failure")
    assert failure.get("message") == "wrong tool: says ?<&>"


def conversation(*texts: str) -> Example:
    return msgspec.convert({"messages": [{"role": "user", "content": text} for text in texts]}, Example)


def test_prompts_in_training_rows_are_contaminated_exactly_or_nearly():
    asks = [
        "Kill term-29",
        "What is the capital of France?",
        "Read the file at src/app.py please",
        "Something else altogether here",
    ]
    cases = [Case(id=f"c{k}", category="c", prompt=text, checks=(NoCall(),)) for k, text in enumerate(asks)]
    talk = Case(
        id="talk",
        category="c",
        messages=(
            {"role": "user", "content": "Run make"},
            {"role": "assistant", "content": "t1"},
            {"role": "user", "content": "Stop it"},
        ),
        checks=(NoCall(),),
    )
    suite = msgspec.convert(msgspec.to_builtins(Suite(cases=(*cases, talk))), Suite)
    rows = [
        ("a:1", conversation("kill  TERM-29")),
        ("a:2", conversation("What is the capital of Italy?")),
        ("a:3", conversation("hello", "Read the file at src/app.py please")),
        ("a:4", conversation("Stop it")),
        ("a:5", conversation("Run make", "Stop it", "Thanks")),
    ]
    result = contamination.contaminated_cases(suite, rows)
    assert [(case.case, case.location, case.similarity) for case in result] == [
        ("c0", "a:1", 1.0),
        ("c1", "a:2", 0.6),
        ("c2", "a:3", 1.0),
        ("talk", "a:5", 1.0),
    ]
    assert contamination.contaminated_cases(suite, []) == ()


@pytest.mark.parametrize("place", ["reasoning", "argument", "result", "declaration", "answer", "system"])
@pytest.mark.parametrize("around", ["{}", "Before it many other words stand here. {} And more of them come after it."])
def test_a_prompt_anywhere_in_a_row_is_contaminated(place, around):
    prompt = "Which of the rivers that flow into the sea is longest"
    suite = Suite(cases=(Case(id="c", category="c", prompt=prompt, checks=(NoCall(),)),))
    assert [
        (case.case, case.similarity)
        for case in contamination.contaminated_cases(suite, [("a:1", example(place, around.format(prompt)))])
    ] == [("c", 1.0)]
    assert contamination.contaminated_cases(suite, [("a:1", example(place, "Which of the rivers"))]) == ()


def categorized(name: str, r: Random, n_categories: int, n: int, rate: float = 0.5) -> Scores:
    scores = arm(name, [r.random() < rate for _ in range(n_categories * n)], split="confirm")
    cases = [structs.replace(case, category=f"k{k % n_categories}") for k, case in enumerate(scores.cases)]
    return structs.replace(scores, cases=tuple(cases))


@pytest.mark.slow
def test_a_gate_over_many_categories_rarely_shuts_on_an_equal_arm():
    """14 categories shut it in 15 % of equal arms when each interval was held alone."""
    r, shut = Random(3), 0
    for _ in range(50):
        pair = [categorized("a", r, 14, 12), categorized("b", r, 14, 12)]
        shut += comparison.comparison_metrics(compare("c", pair))["b.worst"] < -0.02
    assert shut <= 0.06 * 50
    worse = [categorized("a", r, 14, 12, 0.95), categorized("b", r, 14, 12, 0.05)]
    assert comparison.comparison_metrics(compare("c", worse))["b.worst"] < -0.3


@pytest.mark.slow
def test_intervals_of_arms_without_a_selection_are_held_together():
    """The best of ten equal arms has a gain whose own interval excludes -5 pp too often: those of all ten may not."""
    r, wrong = Random(5), 0
    base = [r.random() < 0.55 for _ in range(60)]
    for _ in range(16):
        arms = [arm("base", base, split="confirm")]
        for k in range(10):
            passes = [r.random() < (0.9 if passed else 0.01) for passed in base]  # 5 points worse
            arms.append(arm(f"a{k}", passes, split="confirm"))
        result = compare("c", arms)
        assert {difference.tests for difference in result.differences} == {10}
        wrong += comparison.comparison_metrics(result)["chosen.low"] > -0.05
    assert wrong <= 0.06 * 16
    assert "(95 % interval of 10 together" in comparison.comparison_summary(result)
    pair = compare("c", arms[:2])
    assert (pair.differences[0].tests, pair.category_differences["a"][0].tests) == (1, 2)


def test_every_interval_agrees_with_its_adjusted_p_value():
    r = Random(8)
    for n_arms in (2, 4):
        arms = [categorized(f"a{k}", r, 3, 30, 0.3 + 0.15 * k) for k in range(n_arms)]
        result = compare("c", arms)
        for d in [*result.differences, *(d for by_arm in result.category_differences.values() for d in by_arm)]:
            assert (d.low > 0 or d.high < 0) == (d.adjusted < 0.05)
            assert d.low <= d.difference <= d.high
