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
    Equals,
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
    score_answer,
)
from punie_build.evaluation.completion import parse_choice, to_answer
from tests.support.profiles import examples

READ = ExpectedCall(name="read", arguments={"path": "a.py"})
WRITE = ExpectedCall(name="write", arguments={"path": "b", "text": ["x", "y"]})

A, B = ExpectedCall(name="a"), ExpectedCall(name="b")
CODE = PythonCode(calls=("read_file", "check"), order=True, fields=("errors",), constants=("a.py",), forbid=("system",))
GOOD = "r = tools.read_file('a.py')\nprint(check(r).errors)"
HOOK = "def polite(answer):\n    return 'please' in answer['content'], 'rude'\ndef half(answer):\n    return 0.5\ndef odd(answer):\n    return 7\n"


def said(*calls: ToolCall, content: str = "", **more: object) -> Answer:
    return Answer(case="c", raw="something", content=content, calls=calls, **more)


def asked(name: str) -> ToolCall:
    return ToolCall(name, {})


TABLE = [
    (Calls(calls=(READ,)), said(ToolCall("read", {"path": "a.py"})), 1.0, ""),
    (Calls(calls=(READ,)), said(ToolCall("read", {"path": "b.py"})), 0.5, "wrong arguments"),
    (Calls(calls=(READ,)), said(ToolCall("read", {"path": "a.py", "line": 1})), 0.75, "wrong arguments"),
    (Calls(calls=(READ,)), said(ToolCall("write", {"path": "a.py"})), 0.0, "wrong tool"),
    (Calls(calls=(READ,)), said(content="a.py says x"), 0.0, "no call"),
    (Calls(calls=(READ,)), said(ToolCall("read", {"path": "a.py"}), ToolCall("read", {"path": "a.py"})), 0.5, "extra call"),
    (Calls(calls=(READ, WRITE)), said(ToolCall("read", {"path": "a.py"})), 0.5, "wrong tool"),
    (Calls(calls=(WRITE,)), said(ToolCall("write", {"path": "b", "text": "y"})), 1.0, ""),
    (Calls(calls=(ExpectedCall(name="n", arguments={"k": 1}),)), said(ToolCall("n", {"k": True})), 0.5, "wrong arguments"),
    (Calls(calls=(ExpectedCall(name="now"),)), said(ToolCall("now", {})), 1.0, ""),
    (NoCall(), said(content="hello"), 1.0, ""),
    (NoCall(), said(ToolCall("read", {})), 0.0, "called on irrelevant"),
    (NoCall(), said(content=" "), 0.0, "empty"),
    (Keywords(words=("One", "two")), said(content="ONE and TWO"), 1.0, ""),
    (Keywords(words=("one", "two")), said(content="only one"), 0.5, "keyword missing"),
    (Calls(calls=(A, B), mode="exact"), said(*map(asked, "ba")), 0.0, "wrong tool"),
    (Calls(calls=(A, B), mode="exact"), said(*map(asked, "abc")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="ordered"), said(*map(asked, "ab")), 1.0, ""),
    (Calls(calls=(A, B), mode="ordered"), said(*map(asked, "ba")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="ordered"), said(*map(asked, "acb")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="ordered", allow=("c",)), said(*map(asked, "cacb")), 1.0, ""),
    (Calls(calls=(A, B), mode="ordered", allow=("*",)), said(*map(asked, "xaybz")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), said(*map(asked, "ba")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), said(*map(asked, "bca")), 2 / 3, "extra call"),
    (Calls(calls=(A, B), mode="unordered", allow=("c",)), said(*map(asked, "bca")), 1.0, ""),
    (Calls(calls=(A, B), mode="unordered"), said(*map(asked, "a")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="superset"), said(*map(asked, "xbcaa")), 1.0, ""),
    (Calls(calls=(A, B), mode="superset"), said(*map(asked, "xbc")), 0.5, "wrong tool"),
    (Calls(calls=(A, B), mode="any"), said(*map(asked, "b")), 1.0, ""),
    (Calls(calls=(A, B), mode="any"), said(*map(asked, "bc")), 0.5, "extra call"),
    (Calls(calls=(A, B), mode="any"), said(*map(asked, "c")), 0.0, "wrong tool"),
    (Calls(calls=(A, B), mode="any"), said(content="no"), 0.0, "no call"),
    (Calls(calls=(READ,), compare="loose"), said(ToolCall("read", {"path": "A_py"})), 1.0, ""),
    (Calls(calls=(A, A), mode="unordered"), said(asked("a"), ToolCall("a", {"k": 1})), 0.75, "wrong arguments"),
    (Contains(words=("ls",)), said(content="No tools for that"), 1.0, ""),
    (Contains(words=("ls",), whole=True), said(content="No tools for that"), 0.0, "keyword missing"),
    (Contains(words=("LS", "cd"), mode="any"), said(content="use ls"), 1.0, ""),
    (Contains(words=("LS", "cd"), mode="any", case=True), said(content="use ls"), 0.0, "keyword missing"),
    (NotContains(words=("sorry", "cannot")), said(content="Sorry!"), 0.5, "wrong words"),
    (NotContains(words=("sorry",)), said(content="Here it is"), 1.0, ""),
    (NotContains(words=("sorry",)), said(content="  "), 0.0, "empty"),
    (MatchesRegex(pattern=r"\b4\d\b"), said(content="it is 42."), 1.0, ""),
    (MatchesRegex(pattern=r"4\d", whole=True), said(content="it is 42."), 0.0, "wrong words"),
    (Equals(text="yes"), said(content=" yes\n"), 1.0, ""),
    (Equals(text="yes"), said(content="Yes."), 0.0, "wrong words"),
    (Equals(text="yes", loose=True), said(content="Yes."), 1.0, ""),
    (Json(value={"a": 1, "b": {"c": [1, 2]}}), said(content='{"a": 1, "b": {"c": [1, 2], "d": 0}}'), 1.0, ""),
    (Json(value={"a": 1, "b": 2}), said(content='So:\n```json\n{"a": 1, "b": 3}\n```'), 0.5, "wrong words"),
    (Json(value={"a": {"match": "number", "value": 3, "within": 0.1}}), said(content='{"a": 3.05}'), 1.0, ""),
    (Json(value={"a": 1}), said(content="a is 1"), 0.0, "wrong words"),
    (CODE, said(ToolCall("execute_code", {"code": GOOD})), 1.0, ""),
    (CODE, said(ToolCall("execute_code", {"code": "check(read_file('b.py'))"})), 4 / 6, "wrong code"),
    (CODE, said(ToolCall("execute_code", {"code": GOOD + "\nos.system('ls')"})), 5 / 6, "wrong code"),
    (CODE, said(ToolCall("execute_code", {"code": "check(x).errors\nread_file('a.py')"})), 5 / 6, "wrong code"),
    (CODE, said(ToolCall("execute_code", {"code": "def ("})), 0.0, "wrong code"),
    (CODE, said(ToolCall("execute_code", {"text": "x"})), 0.0, "wrong arguments"),
    (CODE, said(ToolCall("read_file", {})), 0.0, "wrong tool"),
    (CODE, said(content=GOOD), 0.0, "no call"),
    (Finish(reason="stop"), said(content="x"), 1.0, ""),
    (Finish(reason="stop"), said(content="x", finish="length"), 0.0, "wrong finish"),
    (Latency(max=2), said(content="x", seconds=1.5), 1.0, ""),
    (Latency(max=2), said(content="x", seconds=2.5), 0.0, "too slow"),
    (Latency(max=2), said(content="x"), 0.0, "cannot judge"),
    (Recall(tools=("a", "b"), words=("x", "y")), said(asked("a"), asked("c"), content="X"), 0.5, "wrong tool"),
    (Recall(tools=("a",)), said(ToolCall("a", {"wrong": 1}), asked("b")), 1.0, ""),
    (Recall(words=("ls",)), said(content="I have no tools for that."), 1.0, ""),
    (Recall(), said(asked("a")), 1.0, ""),
    (PythonHook(function="j:polite", source=HOOK), said(content="please"), 1.0, ""),
    (PythonHook(function="j:polite", source=HOOK), said(content="now"), 0.0, "wrong words"),
    (PythonHook(function="j:half", source=HOOK), said(content="now"), 0.5, "wrong words"),
    (PythonHook(function="j:odd", source=HOOK), said(content="now"), 0.0, "cannot judge"),
    (PythonHook(function="j:missing", source=HOOK), said(content="now"), 0.0, "cannot judge"),
    (Not(check=Contains(words=("x",))), said(content="y"), 1.0, ""),
    (Not(check=Contains(words=("x",))), said(content="x"), 0.0, "wrong words"),
    (Not(check=Contains(words=("x",))), said(), 0.0, "empty"),
    (Not(check=PythonHook(function="j:odd", source=HOOK)), said(content="y"), 0.0, "cannot judge"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "answer", "score", "failure"), TABLE)
def test_what_each_check_says(check: Check, answer: Answer, score: float, failure: str):
    verdict = check.score(answer)
    assert verdict.score == pytest.approx(score)
    assert verdict.failure == failure
    assert not failure or failure in union.FAILURES


def test_every_check_is_in_the_union_and_in_the_table():
    classes = {
        cls for cls in vars(union).values() if isinstance(cls, type) and issubclass(cls, Check) and cls is not Check
    }
    assert classes == set(get_args(AnyCheck)) == {type(check) for check, *_ in TABLE}


def test_what_never_came_broke_or_was_cut_off_says_so():
    check = (Calls(calls=(READ,)),)
    assert score_answer(check, Answer(case="c", error="timeout")).failure == "error"
    assert score_answer(check, said(malformed=True)).failure == "malformed"
    assert score_answer(check, said(finish="length")).failure == "truncated"
    assert score_answer(check, Answer(case="c")).failure == "empty"
    assert score_answer(check, said(ToolCall("read", {"path": "a.py"}), finish="length")).passed


def test_a_call_the_server_dropped_is_malformed_not_missing():
    """mlx_lm.server answers `content: null` and no calls when it cannot parse what is inside <tool_call>."""
    choice = {"finish_reason": "tool_calls", "message": {"content": None}, "logprobs": {"content": []}}
    answer = to_answer("c", '<tool_call>\n{"name": "read", "arguments": {"path": \n</tool_call>', parse_choice(choice))
    assert answer.malformed
    assert answer.raw.startswith("<tool_call>")
    assert score_answer((Calls(calls=(READ,)),), answer).failure == "malformed"
    assert score_answer((NoCall(),), answer).failure == "malformed"


def test_a_good_answer_is_read_whole():
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
    (1, 1.0, False),
]


@pytest.mark.parametrize(("expected", "got", "fits"), MATCHERS)
def test_what_fits_an_argument(expected: object, got: object, fits: bool):
    call = ExpectedCall(name="f", arguments={"x": expected})
    assert (call.match_score(ToolCall("f", {"x": got})) == 1.0) is fits
    assert call.match_score(call.reference()) == (0.5 if "pattern" in str(expected) else 1.0)
    assert msgspec.convert(msgspec.to_builtins(call), ExpectedCall) == call


def test_what_may_be_left_out_may_be_left_out():
    def share(how: dict[str, object], **given: object) -> float:
        return ExpectedCall(name="f", arguments={"x": how}).match_score(ToolCall("f", given))

    assert share({"match": "optional", "value": [1, 2]}) == share({"match": "optional", "value": [1, 2]}, x=2) == 1.0
    assert share({"match": "optional", "value": 1}, x=3) == 0.5
    assert share({"match": "absent"}) == share({"match": "ignore"}) == share({"match": "ignore"}, x=3) == 1.0
    assert share({"match": "absent"}, x=3) == share({"match": "any"}) == 0.5


def test_arguments_that_nobody_named_are_wrong_unless_more_may_be_given():
    assert ExpectedCall(name="f", arguments={"x": 1}).match_score(ToolCall("f", {"x": 1, "y": 2})) == 0.75
    assert ExpectedCall(name="f", arguments={"x": 1}, more=True).match_score(ToolCall("f", {"x": 1, "y": 2})) == 1.0
    assert ExpectedCall(name="f", more=True).match_score(ToolCall("f", {"y": 2})) == 1.0
    assert ExpectedCall(name="f", arguments={"x": 1}, more=True).match_score(ToolCall("f", {"y": 2})) == 0.5


def test_a_matcher_with_mistakes_says_so():
    for wrong, said_ in [
        ({"match": "regexp"}, "regexp"),
        ({"match": "regex", "pattern": "("}, "pattern"),
        ({"match": "number", "value": "x"}, "number"),
    ]:
        with pytest.raises(msgspec.ValidationError, match=said_):
            msgspec.convert({"name": "f", "arguments": {"x": wrong}}, ExpectedCall)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 0.6, 0.75, 1.0]), min_size=3, max_size=3), max_size=5))
def test_calls_are_paired_so_that_the_sum_is_greatest(worths: list[list[float]]):
    rows, columns = len(worths), 3
    pairs = optimal_assignment(rows, columns, lambda i, j: worths[i][j])
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    least, most = sorted((rows, columns))
    tries = (
        sum(worths[i][j] if rows <= columns else worths[j][i] for i, j in zip(range(least), some, strict=True))
        for some in permutations(range(most), least)
    )
    assert sum(worths[i][j] for i, j in pairs) == pytest.approx(max(tries))
    rising = ordered_alignment(rows, columns, lambda i, j: worths[i][j])
    assert rising == sorted(rising)
    assert sum(worths[i][j] for i, j in rising) == pytest.approx(_best_rising(worths, 0, 0))


def _best_rising(worths: list[list[float]], i: int, j: int) -> float:
    if i == len(worths) or j == 3:
        return 0.0
    both = worths[i][j] + _best_rising(worths, i + 1, j + 1)
    return max(both, _best_rising(worths, i + 1, j), _best_rising(worths, i, j + 1))


def test_loose_is_as_the_berkeley_leaderboard_has_it():
    assert equal("Los Angeles, CA", "los-angeles ca", loose=True)
    assert equal({"a": [1, "X"]}, {"a": [1.0, "x"]}, loose=True)
    assert not equal("Los Angeles", "Los Angelos", loose=True)
    assert not equal(True, 1, loose=True)


def test_what_cannot_be_judged_passes_nothing_and_hides_no_failure():
    unmeasured = Latency(max=1)
    assert score_answer((unmeasured, Contains(words=("x",))), said(content="x")).failure == "cannot judge"
    assert score_answer((unmeasured, Contains(words=("x",))), said(content="y")).failure == "keyword missing"


@examples(25)
@given(st.text(max_size=40))
def test_no_text_of_a_model_breaks_a_check(text: str):
    answer = Answer(
        case="c", raw=text, content=text, calls=(ToolCall("execute_code", {"code": text}), ToolCall(text, {text: text}))
    )
    for check, *_ in TABLE:
        verdict = score_answer((check,), answer)
        assert 0 <= verdict.score <= 1
        assert verdict.passed or verdict.failure in union.FAILURES


def test_the_older_score_is_the_older_score():
    """Its own tests' numbers: recall of names as sets, keywords as substrings, the mean of both, extra calls free."""
    both = Recall(tools=("read_file", "write_file"), words=("localhost", "127.0.0.1"))
    calls = (asked("read_file"), asked("read_file"), asked("kill"))
    assert both.score(said(*calls, content="LOCALHOST")).score == pytest.approx((0.5 + 0.5) / 2)
    assert Recall(tools=("read_file",)).score(said(content="x")).score == 0.0
    assert Recall(words=("a", "b", "c")).score(said(asked("x"), content="A b")).score == pytest.approx(2 / 3)
