"""Answers of other harnesses: rows of each shape are read, and every row and case is accounted for."""

from __future__ import annotations

import json

import pytest
from msgspec import convert

from punie_build.errors import DataError
from punie_build.evaluation import recorded_answers
from punie_build.evaluation.arm_spec import RecordedAnswers
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.suite import Case, Suite

CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
FUNCTION = {"function": {"name": "f", "arguments": '{"a": 1}'}}


def read(tmp_path, *rows, **fields):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return recorded_answers.read(path, RecordedAnswers(path="rows.jsonl", **fields))


@pytest.mark.parametrize(
    ("row", "text", "calls"),
    [
        ({"id": "c", "output": "Hi."}, "Hi.", 0),
        ({"sample_id": "c", "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Hi."}]},
         "Hi.", 0),
        ({"doc_id": 7, "resps": [["Hi."]], "filtered_resps": ["Hi."]}, "Hi.", 0),
        ({"custom_id": "c", "response": {"body": {"choices": [{"message": {"role": "assistant", "content": "Hi."}}]}}},
         "Hi.", 0),
        ({"id": "c", "result": [{"f": '{"a": 1}'}]}, "", 1),
        ({"id": "c", "message": {"role": "assistant", "content": None, "tool_calls": [FUNCTION]}}, "", 1),
        ({"id": "c", "output": f"Well. {CALL}"}, "Well.", 1),
        ({"id": "c", "output": [{"type": "text", "text": "Hi."}]}, "Hi.", 0),
        ({"case": "c", "raw": "x", "content": "Hi.", "calls": []}, "Hi.", 0),
        ({"id": "c", "content": None, "tool_calls": [FUNCTION]}, "", 1),
        ({"id": "c", "output": "<think>Hm.</think>Hi."}, "Hi.", 0),
        ({"id": "c", "output": "half \ud800 pair"}, "half \ufffd pair", 0),
    ],
)  # fmt: skip
def test_rows_of_other_harnesses_are_read(tmp_path, row, text, calls):
    [(case, rows)] = read(tmp_path, row).items()
    answer = recorded_answers.to_row_answer(case, rows[0], ())
    assert (answer.content, len(answer.calls), answer.malformed, answer.error) == (text, calls, False, None)
    assert json.dumps(answer.raw)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "c", "messages": [{"role": "user", "content": "the question is no answer"}]},
        {"id": "c", "output": ["one answer", "another"]},
        {"id": "c", "output": 5},
        {"id": True, "output": "x"},
        {"id": None, "output": "x"},
    ],
)
def test_rows_without_one_answer_are_refused(tmp_path, row):
    with pytest.raises(DataError, match=r"line 1: no (text of an answer|id of a case)"):
        read(tmp_path, row)


def test_calls_that_cannot_be_read_are_malformed(tmp_path):
    [row] = read(tmp_path, {"id": "c", "message": {"role": "assistant", "tool_calls": [5]}})["c"]
    assert recorded_answers.to_row_answer("c", row, ()).malformed
    [row] = read(tmp_path, {"id": "c", "output": '<tool_call>{"name": "f", '})["c"]
    assert recorded_answers.to_row_answer("c", row, ()).malformed
    [row] = read(tmp_path, {"id": "c", "result": [{"f": "{"}]})["c"]
    assert recorded_answers.to_row_answer("c", row, ()).malformed


def test_named_keys_come_before_the_usual_ones(tmp_path):
    rows = read(tmp_path, {"id": "1", "q": "c", "output": "no", "pred": "yes"}, id="q", text="pred")
    assert rows["c"][0]["output"] == "yes"


def test_every_unreadable_line_is_reported_with_its_number(tmp_path):
    with pytest.raises(DataError) as error:
        read(tmp_path, {"id": "c", "output": "x"}, "{", {"output": "x"}, {"id": "c", "score": 1}, "[1]", '"x"')
    assert str(error.value).splitlines() == [
        "rows.jsonl: line 2, line 5, line 6: not a JSON object",
        "rows.jsonl: line 3: no id of a case - name its key in `id`",
        "rows.jsonl: line 4: no text of an answer - name its key in `text`",
    ]
    with pytest.raises(DataError, match="has no rows"):
        read(tmp_path)


def test_an_array_is_read_as_lines_are(tmp_path):
    assert list(read(tmp_path, json.dumps([{"id": "a", "output": "x"}, {"id": "b", "output": "y"}]))) == ["a", "b"]


def test_missing_epochs_and_errors_are_errors_of_the_answer(tmp_path):
    rows = read(tmp_path, {"id": "c", "output": "x"}, {"id": "d", "output": "half", "error": "rate limit"})
    case = convert({"id": "c", "prompt": "?", "checks": [{"type": "no-call"}]}, Case)
    first, second = recorded_answers._of_case(Suite(cases=(case,)), case, rows["c"], 2)
    assert (first.content, first.epoch, second.epoch, second.error) == ("x", 0, 1, recorded_answers.MISSING)
    assert recorded_answers.to_row_answer("d", rows["d"][0], ()) == Answer(case="d", error="rate limit")
