from __future__ import annotations

from itertools import permutations
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks import union
from punie_build.evaluation.checks.assignment import optimal_assignment, ordered_alignment
from punie_build.evaluation.checks.matchers import equal
from punie_build.evaluation.checks.union import (
    Answer,
    AnyCheck,
    Calls,
    Check,
    Contains,
    EndState,
    Equals,
    Execute,
    ExpectedCall,
    Finish,
    Json,
    Keywords,
    Latency,
    MatchesRegex,
    NoCall,
    Not,
    NotContains,
    PythonCode,
    PythonHook,
    Recall,
    Weighted,
    WeightedCheck,
    score_answer,
)
from punie_build.evaluation.completion import parse_choice, to_answer
from tests.support.profiles import examples

READ = ExpectedCall(name="read", arguments={"path": "a.py"})
WRITE = ExpectedCall(name="write", arguments={"path": "b", "text": ["x", "y"]})

A, B = ExpectedCall(name="a"), ExpectedCall(name="b")
CODE = PythonCode(calls=("read_file", "check"), order=True, fields=("errors",), constants=("a.py",), forbid=("system",))
GOOD = "r = tools.read_file('a.py')\nprint(check(r).errors)"
HOOK = """def polite(answer):
    return 'please' in answer['content'], 'rude'
def half(answer):
    return 0.5
def odd(answer):
    return 7
def leaves(answer):
    raise SystemExit(0)
def dies(answer):
    import os
    os._exit(0) if answer["content"] == "die" else None
    return 1.0
def fills(answer):
    return len("x" * (8 << 30)) > 0
def prints(answer):
    print("x" * 500_000, '{"value": true}')
    return False
def nests(answer):
    return nests(answer)
def neighbor(answer):
    import judge_beside
    return True
def standard(answer):
    import json, numpy
    return bool(numpy.isfinite(json.loads("1")))
"""


def reply(*calls: ToolCall, content: str = "", **fields: object) -> Answer:
    return Answer(case="c", raw="something", content=content, calls=calls, **fields)


def call_of(name: str) -> ToolCall:
    return ToolCall(name, {})


ADDS = Execute(tests="assert add(2, 3) == 5", seconds=2)


def weighted(threshold: float, *members: tuple[str | Check, float]) -> Weighted:
    checks = [Contains(words=(each,)) if isinstance(each, str) else each for each, _ in members]
    pairs = zip(checks, members, strict=True)
    return Weighted(
        checks=tuple(WeightedCheck(check=check, weight=weight) for check, (_, weight) in pairs), threshold=threshold
    )


TABLE = [
    (Calls(calls=(READ,)), reply(ToolCall("read", {"path": "a.py"})), 1.0, ""),
    (Calls(calls=(READ,)), reply(ToolCall("read", {"path": "b.py"})), 0.5, "wrong arguments"),
    (Calls(calls=(READ,)), reply(ToolCall("read", {"path": "a.py", "line": 1})), 0.75, "wrong arguments"),
    (Calls(calls=(READ,)), reply(ToolCall("write", {"path": "a.py"})), 0.0, "wrong tool"),
    (Calls(calls=(READ,)), reply(content="a.py says x"), 0.0, "no call"),
    (
        Calls(calls=(READ,)),
        reply(ToolCall("read", {"path": "a.py"}), ToolCall("read", {"path": "a.py"})),
        0.5,
        "extra call",
    ),
    (Calls(calls=(READ, WRITE)), reply(ToolCall("read", {"path": "a.py"})), 0.5, "wrong tool"),
    (Calls(calls=(WRITE,)), reply(ToolCall("write", {"path": "b", "text": "y"})), 1.0, ""),
    (
        Calls(calls=(ExpectedCall(name="n", arguments={"k": 1}),)),
        reply(ToolCall("n", {"k": True})),
        0.5,
        "wrong arguments",
    ),
    (Calls(calls=(ExpectedCall(name="now"),)), reply(ToolCall("now", {})), 1.0, ""),
    (NoCall(), reply(content="hello"), 1.0, ""),
    (NoCall(), reply(ToolCall("read", {})), 0.0, "called on irrelevant"),
    (NoCall(), reply(content=" "), 0.0, "empty"),
    (Keywords(words=("One", "two")), reply(content="ONE and TWO"), 1.0, ""),
    (Keywords(words=("one", "two")), reply(content="only one"), 0.5, "keyword missing"),
    (Calls(calls=(A, B), mode="exact"), reply(*map(call_of, "ba")), 0.0, "wrong tool"),
    (Calls(calls=(A, B), mode="exact"), reply(*map(call_of, "abc")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="ordered"), reply(*map(call_of, "ab")), 1.0, ""),
    (Calls(calls=(A, B), mode="ordered"), reply(*map(call_of, "ba")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="ordered"), reply(*map(call_of, "acb")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="ordered", allow=("c",)), reply(*map(call_of, "cacb")), 1.0, ""),
    (Calls(calls=(A, B), mode="ordered", allow=("*",)), reply(*map(call_of, "xaybz")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), reply(*map(call_of, "ba")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), reply(*map(call_of, "bca")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="unordered", allow=("c",)), reply(*map(call_of, "bca")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), reply(*map(call_of, "a")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="superset"), reply(*map(call_of, "xbcaa")), 1.0, ""),
    (Calls(calls=(A, B), mode="superset"), reply(*map(call_of, "xbc")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="any"), reply(*map(call_of, "b")), 1.0, ""),
    (Calls(calls=(A, B), mode="any"), reply(*map(call_of, "bc")), 0.5, "extra call"),
    (Calls(calls=(A, B), mode="any"), reply(*map(call_of, "c")), 0.0, "wrong tool"),
    (Calls(calls=(A, B), mode="any"), reply(content="no"), 0.0, "no call"),
    (Calls(calls=(READ,), compare="loose"), reply(ToolCall("read", {"path": "A_py"})), 1.0, ""),
    (Calls(calls=(A, A), mode="unordered"), reply(call_of("a"), ToolCall("a", {"k": 1})), 0.75, "wrong arguments"),
    (Contains(words=("ls",)), reply(content="No tools for that"), 1.0, ""),
    (Contains(words=("ls",), whole=True), reply(content="No tools for that"), 0.0, "keyword missing"),
    (Contains(words=("LS", "cd"), mode="any"), reply(content="use ls"), 1.0, ""),
    (Contains(words=("LS", "cd"), mode="any", case=True), reply(content="use ls"), 0.0, "keyword missing"),
    (NotContains(words=("sorry", "cannot")), reply(content="Sorry!"), 0.5, "wrong words"),
    (NotContains(words=("sorry",)), reply(content="Here it is"), 1.0, ""),
    (NotContains(words=("sorry",)), reply(content="  "), 0.0, "empty"),
    (MatchesRegex(pattern=r"\b4\d\b"), reply(content="it is 42."), 1.0, ""),
    (MatchesRegex(pattern=r"4\d", whole=True), reply(content="it is 42."), 0.0, "wrong words"),
    (Equals(text="yes"), reply(content=" yes\n"), 1.0, ""),
    (Equals(text="yes"), reply(content="Yes."), 0.0, "wrong words"),
    (Equals(text="yes", loose=True), reply(content="Yes."), 1.0, ""),
    (Json(value={"a": 1, "b": {"c": [1, 2]}}), reply(content='{"a": 1, "b": {"c": [1, 2], "d": 0}}'), 1.0, ""),
    (Json(value={"a": 1, "b": 2}), reply(content='So:\n```json\n{"a": 1, "b": 3}\n```'), 0.5, "wrong words"),
    (Json(value={"a": {"match": "number", "value": 3, "within": 0.1}}), reply(content='{"a": 3.05}'), 1.0, ""),
    (Json(value={"a": 1}), reply(content="a is 1"), 0.0, "wrong words"),
    (Json(value={"a": 1}), reply(content='```bash\nls\n```\n```JSON\n{"a": 1}\n```'), 1.0, ""),
    (Json(value={"a": {"match": "any"}}), reply(content='{"a": NaN}'), 0.0, "wrong words"),
    (Json(value={"a": 1}, find="anywhere"), reply(content='So {"a": 2} or {"a": 1}.'), 1.0, ""),
    (Json(value={"a": 1}, find="anywhere"), reply(content="{" * 5000), 0.0, "wrong words"),
    (Json(find="whole"), reply(content="[" * 100_000), 0.0, "wrong words"),
    (Json(schema={"required": ["b"]}), reply(content='{"a": 1}'), 0.0, "wrong words"),
    (Json(value={"a": 1}, schema={"required": ["b"]}), reply(content='{"a": 1, "b": 2}'), 1.0, ""),
    (CODE, reply(ToolCall("execute_code", {"code": GOOD})), 1.0, ""),
    (CODE, reply(ToolCall("execute_code", {"code": "check(read_file('b.py'))"})), 4 / 6, "wrong code"),
    (CODE, reply(ToolCall("execute_code", {"code": GOOD + "\nos.system('ls')"})), 5 / 6, "wrong code"),
    (CODE, reply(ToolCall("execute_code", {"code": "check(x).errors\nread_file('a.py')"})), 5 / 6, "wrong code"),
    (CODE, reply(ToolCall("execute_code", {"code": "def ("})), 0.0, "wrong code"),
    (CODE, reply(ToolCall("execute_code", {"text": "x"})), 0.0, "wrong arguments"),
    (CODE, reply(ToolCall("read_file", {})), 0.0, "wrong tool"),
    (CODE, reply(content=GOOD), 0.0, "no call"),
    (Finish(reason="stop"), reply(content="x"), 1.0, ""),
    (Finish(reason="stop"), reply(content="x", finish="length"), 0.0, "wrong finish"),
    (Latency(max=2), reply(content="x", seconds=1.5), 1.0, ""),
    (Latency(max=2), reply(content="x", seconds=2.5), 0.0, "too slow"),
    (Latency(max=2), reply(content="x"), 0.0, "cannot judge"),
    (Recall(tools=("a", "b"), words=("x", "y")), reply(call_of("a"), call_of("c"), content="X"), 0.5, "wrong tool"),
    (Recall(tools=("a",)), reply(ToolCall("a", {"wrong": 1}), call_of("b")), 1.0, ""),
    (Recall(words=("ls",)), reply(content="I have no tools for that."), 1.0, ""),
    (Recall(), reply(call_of("a")), 1.0, ""),
    (PythonHook(function="j:polite", source=HOOK), reply(content="please"), 1.0, ""),
    (ADDS, reply(content="Here:\n```python\ndef add(a, b):\n    return a + b\n```\nFine."), 1.0, ""),
    (ADDS, reply(content="```\ndef add(a, b):\n    return a - b\n```"), 0.0, "wrong code"),
    (ADDS, reply(content="def add(a, b): return a + b"), 1.0, ""),
    (ADDS, reply(content=""), 0.0, "empty"),
    (EndState(value={"n": 3}), Answer(case="c", raw="x", state={"n": 3, "m": 1}), 1.0, ""),
    (EndState(value={"n": 3, "m": [2, 4]}), Answer(case="c", raw="x", state={"n": 3, "m": 1}), 0.25, "wrong state"),
    (EndState(value={"n": 3}), reply(content="x"), 0.0, "cannot judge"),
    (PythonHook(function="j:polite", source=HOOK), reply(content="now"), 0.0, "wrong words"),
    (PythonHook(function="j:half", source=HOOK), reply(content="now"), 0.5, "wrong words"),
    (PythonHook(function="j:odd", source=HOOK), reply(content="now"), 0.0, "cannot judge"),
    (PythonHook(function="j:missing", source=HOOK), reply(content="now"), 0.0, "cannot judge"),
    (PythonHook(function="j:standard", source=HOOK), reply(content="now"), 1.0, ""),
    (PythonHook(function="j:leaves", source=HOOK), reply(content="now"), 0.0, "cannot judge"),
    (PythonHook(function="j:fills", source=HOOK), reply(content="now"), 0.0, "cannot judge"),
    (PythonHook(function="j:prints", source=HOOK), reply(content="now"), 0.0, "wrong words"),
    (PythonHook(function="j:nests", source=HOOK), reply(content="now"), 0.0, "cannot judge"),
    (Not(check=Contains(words=("x",))), reply(content="y"), 1.0, ""),
    (weighted(0.6, ("x", 2), ("y", 1)), reply(content="x"), 2 / 3, ""),
    (weighted(0.7, ("x", 2), ("y", 1)), reply(content="x"), 2 / 3, "keyword missing"),
    (weighted(0.7, ("x", 2), ("y", 1)), reply(content="xy"), 1.0, ""),
    (weighted(0.5, (weighted(1.0, ("x", 1), ("z", 1)), 1)), reply(content="x"), 0.5, ""),
    (weighted(0.1, ("x", 1), (PythonHook(function="j:odd", source=HOOK), 1)), reply(content="x"), 0.0, "cannot judge"),
    (Not(check=Contains(words=("x",))), reply(content="x"), 0.0, "wrong words"),
    (Not(check=Contains(words=("x",))), reply(), 0.0, "empty"),
    (Not(check=PythonHook(function="j:odd", source=HOOK)), reply(content="y"), 0.0, "cannot judge"),
]


@pytest.mark.parametrize(("check", "answer", "score", "failure"), TABLE)
def test_each_check_has_this_score_and_failure(check: Check, answer: Answer, score: float, failure: str):
    verdict = check.score(answer)
    assert verdict.score == pytest.approx(score)
    assert verdict.failure == failure
    assert not failure or failure in union.FAILURES


def test_every_check_is_in_the_union_and_in_the_table():
    classes = {
        cls for cls in vars(union).values() if isinstance(cls, type) and issubclass(cls, Check) and cls is not Check
    }
    assert classes == set(get_args(AnyCheck)) == {type(check) for check, *_ in TABLE}


def test_missing_malformed_and_truncated_answers_have_failures_of_their_own():
    check = (Calls(calls=(READ,)),)
    assert score_answer(check, Answer(case="c", error="timeout")).failure == "error"
    assert score_answer(check, reply(malformed=True)).failure == "malformed"
    assert score_answer(check, reply(finish="length")).failure == "truncated"
    assert score_answer(check, Answer(case="c")).failure == "empty"
    assert score_answer(check, reply(ToolCall("read", {"path": "a.py"}), finish="length")).passed


def test_a_call_the_server_dropped_is_malformed_not_missing():
    """mlx_lm.server answers `content: null` and no calls when it cannot parse what is inside <tool_call>."""
    choice = {"finish_reason": "tool_calls", "message": {"content": None}, "logprobs": {"content": []}}
    answer = to_answer("c", '<tool_call>\n{"name": "read", "arguments": {"path": \n</tool_call>', parse_choice(choice))
    assert answer.malformed
    assert answer.raw.startswith("<tool_call>")
    assert score_answer((Calls(calls=(READ,)),), answer).failure == "malformed"
    assert score_answer((NoCall(),), answer).failure == "malformed"


def test_a_completion_with_a_valid_call_becomes_an_answer():
    choice = {
        "finish_reason": "tool_calls",
        "logprobs": {"content": []},
        "message": {"content": None, "tool_calls": [{"function": {"name": "read", "arguments": '{"path": "a.py"}'}}]},
    }
    answer = to_answer(
        "c", '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>', parse_choice(choice)
    )
    assert answer.calls == (ToolCall("read", {"path": "a.py"}),)
    assert not answer.malformed


MATCHERS = [
    ("a", "a", True),
    ("a", "A", False),
    (["a", "b"], "b", True),
    (["a", "b"], ["a", "b"], False),
    ({"match": "value", "value": ["a", "b"]}, ["a", "b"], True),
    ({"match": "value", "value": {"k": [1, True]}}, {"k": [1, 1]}, False),
    ({"match": "one-of", "values": [1, [2]]}, [2], True),
    ({"match": "regex", "pattern": r"\./?a\.py"}, "./a.py", True),
    ({"match": "regex", "pattern": "a"}, "ab", False),
    ({"match": "number", "value": 10, "within": 1}, 9, True),
    ({"match": "number", "value": 10, "within": 1}, 8.9, False),
    ({"match": "number", "value": 1}, True, False),
    ({"match": "any"}, None, True),
    ({"k": {"deep": 1}}, {"k": {"deep": 1}}, True),
    (1, 1.0, True),
    (5.0, 5, True),
    (5.5, 5, False),
    (1, True, False),
    ({"k": {"deep": [1, 2]}}, {"k": {"deep": 2}}, True),
    ({"k": {"deep": [1, 2]}}, {"k": {"deep": [1, 2]}}, False),
    ({"k": {"match": "number", "value": 40, "within": 2}}, {"k": 41}, True),
    ({"k": {"match": "number", "value": 40, "within": 2}}, {"k": 43}, False),
    ({"k": {"match": "optional", "value": 1}, "l": 2}, {"l": 2}, True),
    ({"k": 1}, {"k": 1, "l": 2}, False),
    ([{"k": [1, 2]}, 7], {"k": 2}, True),
    ([[{"k": [1, 2]}, 7]], [{"k": 2}, 7], True),
    ({"match": "list", "items": [{"k": ["a", "b"]}, {"k": "c"}]}, [{"k": "b"}, {"k": "c"}], True),
    ({"match": "list", "items": [{"k": ["a", "b"]}, {"k": "c"}]}, [{"k": "c"}, {"k": "b"}], False),
    ({"match": "optional", "value": {"k": [1, 2]}}, {"k": 2}, True),
    (None, None, True),
    ([1, None], None, True),
    ({"match": "null"}, 0, False),
]


@pytest.mark.parametrize(("expected", "value", "matches"), MATCHERS)
def test_a_matcher_accepts_or_rejects_an_argument(expected: object, value: object, matches: bool):
    call = ExpectedCall(name="f", arguments={"x": expected})
    assert (call.match_score(ToolCall("f", {"x": value})) == 1.0) is matches
    assert call.match_score(call.reference()) == (0.5 if "pattern" in str(expected) else 1.0)
    assert msgspec.convert(msgspec.to_builtins(call), ExpectedCall) == call


def test_optional_and_ignored_arguments_may_be_omitted():
    def match_score(matcher: dict[str, object], **arguments: object) -> float:
        return ExpectedCall(name="f", arguments={"x": matcher}).match_score(ToolCall("f", arguments))

    assert (
        match_score({"match": "optional", "value": [1, 2]})
        == match_score({"match": "optional", "value": [1, 2]}, x=2)
        == 1.0
    )
    assert match_score({"match": "optional", "value": 1}, x=3) == 0.5
    assert (
        match_score({"match": "absent"})
        == match_score({"match": "ignore"})
        == match_score({"match": "ignore"}, x=3)
        == 1.0
    )
    assert match_score({"match": "absent"}, x=3) == match_score({"match": "any"}) == 0.5


def test_other_arguments_are_wrong_unless_more_allows_them():
    assert ExpectedCall(name="f", arguments={"x": 1}).match_score(ToolCall("f", {"x": 1, "y": 2})) == 0.75
    assert ExpectedCall(name="f", arguments={"x": 1}, more=True).match_score(ToolCall("f", {"x": 1, "y": 2})) == 1.0
    assert ExpectedCall(name="f", more=True).match_score(ToolCall("f", {"y": 2})) == 1.0
    assert ExpectedCall(name="f", arguments={"x": 1}, more=True).match_score(ToolCall("f", {"y": 2})) == 0.5


def test_an_invalid_matcher_is_rejected_with_its_mistake():
    for wrong, mistake in [
        ({"match": "regexp"}, "regexp"),
        ({"match": "regex", "pattern": "("}, "pattern"),
        ({"match": "number", "value": "x"}, "number"),
    ]:
        with pytest.raises(msgspec.ValidationError, match=mistake):
            msgspec.convert({"name": "f", "arguments": {"x": wrong}}, ExpectedCall)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 0.6, 0.75, 1.0]), min_size=3, max_size=3), max_size=5))
def test_calls_are_paired_with_the_greatest_sum_of_scores(scores: list[list[float]]):
    rows, columns = len(scores), 3
    pairs = optimal_assignment(rows, columns, lambda i, j: scores[i][j])
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    least, most = sorted((rows, columns))
    tries = (
        sum(scores[i][j] if rows <= columns else scores[j][i] for i, j in zip(range(least), order, strict=True))
        for order in permutations(range(most), least)
    )
    assert sum(scores[i][j] for i, j in pairs) == pytest.approx(max(tries))
    rising = ordered_alignment(rows, columns, lambda i, j: scores[i][j])
    assert rising == sorted(rising)
    assert sum(scores[i][j] for i, j in rising) == pytest.approx(_best_rising(scores, 0, 0))


def _best_rising(scores: list[list[float]], i: int, j: int) -> float:
    if i == len(scores) or j == 3:
        return 0.0
    both = scores[i][j] + _best_rising(scores, i + 1, j + 1)
    return max(both, _best_rising(scores, i + 1, j), _best_rising(scores, i, j + 1))


def test_loose_equality_is_that_of_the_berkeley_leaderboard():
    assert equal("Los Angeles, CA", "los-angeles ca", loose=True)
    assert equal({"a": [1.0, "X"]}, {"a": [1, "x"]}, loose=True)
    assert not equal(5, 5.0, loose=True), "a float for an integer"
    assert equal(5.0, 5, loose=True)
    assert not equal("Los Angeles", "Los Angelos", loose=True)
    assert not equal(True, 1, loose=True)


def test_an_unscorable_check_does_not_pass_and_hides_no_failure():
    unmeasured = Latency(max=1)
    assert score_answer((unmeasured, Contains(words=("x",))), reply(content="x")).failure == "cannot judge"
    assert score_answer((unmeasured, Contains(words=("x",))), reply(content="y")).failure == "keyword missing"


@examples(25)
@given(st.text(max_size=40))
def test_checks_raise_no_error_for_any_text(text: str):
    answer = Answer(
        case="c", raw=text, content=text, calls=(ToolCall("execute_code", {"code": text}), ToolCall(text, {text: text}))
    )
    for check in {id(check): check for check, *_ in TABLE}.values():
        verdict = score_answer((check,), answer)
        assert 0 <= verdict.score <= 1
        assert verdict.passed or verdict.failure in union.FAILURES


def test_a_hook_that_ends_its_process_leaves_that_answer_unscored_and_the_next_scored():
    hook = PythonHook(function="j:dies", source=HOOK)
    verdicts = [score_answer((hook,), reply(content=text)) for text in ("die", "live")]
    assert [verdict.failure for verdict in verdicts] == ["cannot judge", ""]
    assert "its process ended" in verdicts[0].reason


def test_a_hook_imports_no_file_of_the_project(tmp_path, monkeypatch):
    (tmp_path / "judge_beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    verdict = PythonHook(function="j:neighbor", source=HOOK).score(reply(content="x"))
    assert verdict.failure == "cannot judge"
    assert "No module named 'judge_beside'" in verdict.reason


HUGE = int("9" * 310)
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("check", "answer", "failure"),
    [
        (
            Calls(calls=(ExpectedCall(name="f", arguments={"n": {"match": "number", "value": 10, "within": 1}}),)),
            reply(ToolCall("f", {"n": HUGE})),
            "wrong arguments",
        ),
        (Calls(calls=(ExpectedCall(name="f", arguments={"n": DEEP}),)), reply(ToolCall("f", {"n": DEEP})), None),
        (Json(value={"n": {"match": "number", "value": 10}}), reply(content=f'{{"n": {HUGE}}}'), "wrong words"),
        (MatchesRegex(pattern="(a|aa)+$"), reply(content="a" * 60 + "b"), "cannot judge"),
        (MatchesRegex(pattern="(a+)+$"), reply(content="a" * 60 + "b"), None),
        (Not(check=MatchesRegex(pattern="(a|aa)+$")), reply(content="a" * 60 + "b"), "cannot judge"),
        (Json(value=1), reply(content="```" + "\n" * 200_000), "wrong words"),
        (PythonHook(function="j:polite", source=HOOK), reply(ToolCall("f", {"n": int("9" * 4000)})), "wrong words"),
    ],
)
@pytest.mark.slow
def test_no_answer_of_a_model_ends_the_scoring(check: Check, answer: Answer, failure: str | None):
    verdict = score_answer((check,), answer)
    assert not verdict.passed
    assert verdict.reason
    assert failure is None or verdict.failure == failure


def test_an_empty_list_is_an_argument_and_a_reference():
    call = ExpectedCall(name="f", arguments={"tags": []})
    assert call.match_score(call.reference()) == 1.0
    assert call.match_score(ToolCall("f", {"tags": ["x"]})) == call.match_score(ToolCall("f", {})) == 0.5
    assert ExpectedCall(name="f", arguments={"t": {"match": "optional", "value": []}}).match_score(
        ToolCall("f", {"t": []})
    )
    assert "[]" in score_answer((Calls(calls=(call,)),), reply(ToolCall("f", {"tags": 1}))).reason


def test_recall_reproduces_the_scores_of_the_older_evaluator():
    """Its own tests' numbers: recall of names as sets, keywords as substrings, the mean of both, extra calls free."""
    both = Recall(tools=("read_file", "write_file"), words=("localhost", "127.0.0.1"))
    calls = (call_of("read_file"), call_of("read_file"), call_of("kill"))
    assert both.score(reply(*calls, content="LOCALHOST")).score == pytest.approx((0.5 + 0.5) / 2)
    assert Recall(tools=("read_file",)).score(reply(content="x")).score == 0.0
    assert Recall(words=("a", "b", "c")).score(reply(call_of("x"), content="A b")).score == pytest.approx(2 / 3)
