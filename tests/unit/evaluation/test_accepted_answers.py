from __future__ import annotations

import json

from punie_build.data.example import ToolCall, parse
from punie_build.evaluation import accepted_answers, scoring
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.suite import Suite
from punie_build.schema.validation import mistakes

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def suite(**case: object) -> Suite:
    import msgspec

    table = {
        "tools": [TOOL],
        "case": [
            {"id": "a", "category": "c", "prompt": "hi", "checks": [{"type": "contains", "words": ["yes"]}], **case}
        ],
    }
    assert not list(mistakes(table, Suite, ""))
    return msgspec.convert(table, Suite)


def rows(tmp_path, of: Suite, *answers: Answer) -> list[dict]:
    accepted_answers.write(of, {"a": answers}, tmp_path)
    lines = (tmp_path / "accepted.jsonl").read_bytes().splitlines()
    assert all(parse(line) for line in lines)
    return [json.loads(line) for line in lines]


def test_answers_that_pass_every_check_become_rows(tmp_path):
    answers = [
        Answer(case="a", raw="yes", content="yes"),
        Answer(case="a", raw="no", content="no", epoch=1),
        Answer(case="a", error="the server is gone", content="yes", epoch=2),
        Answer(case="a", raw="oh yes", content="oh yes", epoch=3),
    ]
    accepted = rows(tmp_path, suite(), *answers)
    assert [row["id"] for row in accepted] == ["a/0", "a/3"]
    assert accepted[0]["messages"][-2:] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"},
    ]
    assert accepted[0]["tools"] == [TOOL]


def test_calls_keep_their_turns_and_results(tmp_path):
    calls = (ToolCall("look", {}), ToolCall("look", {}, 0), ToolCall("look", {"x": 1}, 1))
    answer = Answer(case="a", raw="yes", content="yes", calls=calls, turns=3)
    [row] = rows(tmp_path, suite(results={"look": ["one", "two", "three"]}), answer)
    messages = row["messages"][1:]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["one", "two", "three"]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == [
        "call_1",
        "call_2",
        "call_3",
    ]
    assert messages[-1] == {"role": "assistant", "content": "yes"}


def test_a_last_turn_of_calls_has_no_results(tmp_path):
    answer = Answer(case="a", raw="yes", content="yes", calls=(ToolCall("look", {}),), finish="tool_calls")
    [row] = rows(tmp_path, suite(), answer)
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    assert row["messages"][-1]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}


def test_each_answer_is_scored_once_for_scores_and_for_accepted_rows(tmp_path):
    scored = []

    def count(checks, answer):
        scored.append(answer.epoch)
        return score_answer(checks, answer)

    answers = {"a": [Answer(case="a", raw="yes", content="yes"), Answer(case="a", raw="no", content="no", epoch=1)]}
    once = scoring.score_once(count)
    [result] = scoring.score_suite(suite(), answers, once)
    accepted_answers.write(suite(), answers, tmp_path, once)
    assert (result.passes, scored) == (1, [0, 1])
    assert len((tmp_path / "accepted.jsonl").read_bytes().splitlines()) == 1
