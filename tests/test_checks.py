from __future__ import annotations

from typing import get_args

import pytest

from punie_build import checks
from punie_build.answers import read, reply
from punie_build.checks import Answer, AnyCheck, Asked, Calls, Check, Expected, Keywords, NoCall, judge

READ = Expected(name="read", arguments={"path": "a.py"})
WRITE = Expected(name="write", arguments={"path": "b", "text": ["x", "y"]})


def said(*calls: Asked, content: str = "", **more: object) -> Answer:
    return Answer(case="c", raw="something", content=content, calls=calls, **more)


TABLE = [
    (Calls(calls=(READ,)), said(Asked("read", {"path": "a.py"})), 1.0, ""),
    (Calls(calls=(READ,)), said(Asked("read", {"path": "b.py"})), 0.5, "wrong arguments"),
    (Calls(calls=(READ,)), said(Asked("read", {"path": "a.py", "line": 1})), 0.75, "wrong arguments"),
    (Calls(calls=(READ,)), said(Asked("write", {"path": "a.py"})), 0.0, "wrong tool"),
    (Calls(calls=(READ,)), said(content="a.py says x"), 0.0, "no call"),
    (Calls(calls=(READ,)), said(Asked("read", {"path": "a.py"}), Asked("read", {"path": "a.py"})), 0.5, "extra call"),
    (Calls(calls=(READ, WRITE)), said(Asked("read", {"path": "a.py"})), 0.5, "wrong tool"),
    (Calls(calls=(WRITE,)), said(Asked("write", {"path": "b", "text": "y"})), 1.0, ""),
    (Calls(calls=(Expected(name="n", arguments={"k": 1}),)), said(Asked("n", {"k": True})), 0.5, "wrong arguments"),
    (Calls(calls=(Expected(name="now"),)), said(Asked("now", {})), 1.0, ""),
    (NoCall(), said(content="hello"), 1.0, ""),
    (NoCall(), said(Asked("read", {})), 0.0, "called on irrelevant"),
    (NoCall(), said(content=" "), 0.0, "empty"),
    (Keywords(words=("One", "two")), said(content="ONE and TWO"), 1.0, ""),
    (Keywords(words=("one", "two")), said(content="only one"), 0.5, "keyword missing"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "answer", "score", "failure"), TABLE)
def test_what_each_check_says(check: Check, answer: Answer, score: float, failure: str):
    verdict = check.judge(answer)
    assert verdict.score == pytest.approx(score)
    assert verdict.failure == failure
    assert not failure or failure in checks.FAILURES


def test_every_check_is_in_the_union_and_in_the_table():
    classes = {
        cls for cls in vars(checks).values() if isinstance(cls, type) and issubclass(cls, Check) and cls is not Check
    }
    assert classes == set(get_args(AnyCheck)) == {type(check) for check, *_ in TABLE}


def test_what_never_came_broke_or_was_cut_off_says_so():
    check = (Calls(calls=(READ,)),)
    assert judge(check, Answer(case="c", error="timeout")).failure == "error"
    assert judge(check, said(malformed=True)).failure == "malformed"
    assert judge(check, said(finish="length")).failure == "truncated"
    assert judge(check, Answer(case="c")).failure == "empty"
    assert judge(check, said(Asked("read", {"path": "a.py"}), finish="length")).passed


def test_a_call_the_server_dropped_is_malformed_not_missing():
    """mlx_lm.server answers `content: null` and no calls when it cannot parse what is inside <tool_call>."""
    choice = {"finish_reason": "tool_calls", "message": {"content": None}, "logprobs": {"content": []}}
    answer = read("c", '<tool_call>\n{"name": "read", "arguments": {"path": \n</tool_call>', reply(choice))
    assert answer.malformed
    assert answer.raw.startswith("<tool_call>")
    assert judge((Calls(calls=(READ,)),), answer).failure == "malformed"
    assert judge((NoCall(),), answer).failure == "malformed"


def test_a_good_answer_is_read_whole():
    choice = {
        "finish_reason": "tool_calls",
        "logprobs": {"content": []},
        "message": {"content": None, "tool_calls": [{"function": {"name": "read", "arguments": '{"path": "a.py"}'}}]},
    }
    answer = read("c", '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>', reply(choice))
    assert answer.calls == (Asked("read", {"path": "a.py"}),)
    assert not answer.malformed
