"""Questions of the Berkeley leaderboard: values as its checker takes them, and files that read back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.importers.registry import FORMATS, ImportedSuite, ImportSource, suite_to_toml
from punie_build.evaluation.suite import Suite

PEOPLE = {"type": "dict", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
PROPERTIES = {
    "n": {"type": "integer"},
    "x": {"type": "float"},
    "note": {"type": "string"},
    "most": {"type": "integer", "default": None},
    "people": {"type": "array", "items": PEOPLE},
    "who": PEOPLE,
    "need": {"type": "integer"},
    "any": {"type": "any"},
    "long": {"type": "long"},
    "double": {"type": "double"},
    "map": {"type": "HashMap"},
}


def imported(tmp_path: Path, arguments: dict[str, Any], **properties: Any) -> ImportedSuite:
    required = [name for name in arguments if name == "need"]
    declared = {"type": "dict", "properties": PROPERTIES | properties, "required": required}
    question = {
        "id": "simple_0",
        "question": [[{"role": "user", "content": "Go."}]],
        "function": [{"name": "f", "parameters": declared}],
    }
    (tmp_path / "q.json").write_text(json.dumps(question))
    (tmp_path / "a.json").write_text(json.dumps({"id": "simple_0", "ground_truth": [{"f": arguments}]}))
    return FORMATS["bfcl"](ImportSource(path=tmp_path / "q.json", answers=tmp_path / "a.json"))


def passes(suite: ImportedSuite, **arguments: Any) -> bool:
    """Return whether a call passes; the suite is first written as TOML and read back."""
    again = msgspec.convert(tomllib.loads(suite_to_toml(suite.suite, "")), Suite)
    assert again == suite.suite
    return score_answer(again.cases[0].checks, Answer(case="c", raw="x", calls=(ToolCall("f", arguments),))).passed


@pytest.mark.parametrize(
    ("allowed", "right", "wrong"),
    [
        ({"n": [5]}, [{"n": 5}], [{"n": 5.0}, {"n": "5"}, {}]),
        ({"x": [5]}, [{"x": 5}, {"x": 5.0}], [{"x": 5.5}]),
        ({"most": ["", None]}, [{}, {"most": None}], [{"most": 3}]),
        ({"n": ["count", "len(x)"]}, [{"n": "count"}, {"n": "len(x)"}], [{"n": 1}, {"n": "Count"}, {"n": "lenx"}, {}]),
        ({"any": ["", "a B"]}, [{}, {"any": ""}, {"any": "ab"}], [{"any": 1}]),
        ({"any": [20.5, "20.5"]}, [{"any": "20.5"}, {"any": 20.5}], [{"any": "20.5."}]),
        ({"n": [5], "unknown": ["", 2]}, [{"n": 5}], [{"n": 5, "unknown": 2}]),
        ({"long": [5]}, [{"long": 5}], [{"long": 5.0}, {"long": "5L"}]),
        ({"double": [5]}, [{"double": 5.0}, {"double": 5}], [{"double": "5"}]),
        ({"map": [{"k": ["v", "w"]}]}, [{"map": {"k": "W"}}], [{"map": {}}]),
        ({"n": ["", 5]}, [{}, {"n": 5}], [{"n": 4}, {"n": ""}]),
        ({"need": ["", 5]}, [{"need": 5}], [{}, {"need": ""}]),
        ({"who": [{"nick": ["A"]}]}, [{"who": {"nick": "a"}}], [{"who": {}}]),
        ({"note": ["", "hi"]}, [{}, {"note": ""}, {"note": "Hi"}], [{"note": "x"}]),
        (
            {"people": [[{"name": ["Ann", "A."], "age": [30]}, {"name": ["Bob"], "age": ["", 40]}]]},
            [{"people": [{"name": "a.", "age": 30}, {"name": "bob"}]}],
            [{"people": [{"name": "Bob"}, {"name": "Ann", "age": 30}]}, {"people": []}],
        ),
        (
            {"who": [{"name": [f"n{k}" for k in range(40)], "age": list(range(40))}]},
            [{"who": {"name": "n7", "age": 39}}],
            [{"who": {"name": "n7", "age": 41}}, {"who": {}}],
        ),
    ],
)
def test_allowed_values_are_those_of_the_leaderboard(tmp_path, allowed, right, wrong):
    suite = imported(tmp_path, allowed)
    assert all(passes(suite, **arguments) for arguments in right)
    assert not any(passes(suite, **arguments) for arguments in wrong)


def test_declarations_are_json_schema_with_the_hint_of_the_leaderboard(tmp_path):
    [tool] = imported(tmp_path, {"n": [5]}).suite.cases[0].tools
    types = {name: schema.get("type") for name, schema in tool["function"]["parameters"]["properties"].items()}
    assert types | {"long": "integer", "double": "number", "map": "object", "any": None} == types
    assert tool["function"]["description"] == " Note that the provided function is in Python 3 syntax."
    questions = tmp_path / "q.json"
    questions.write_text(questions.read_text().replace("simple_0", "simple_java_0"))
    (tmp_path / "a.json").write_text('{"id": "simple_java_0", "ground_truth": [{"f": {"n": [5]}}]}')
    java = FORMATS["bfcl"](ImportSource(path=questions, answers=tmp_path / "a.json"))
    assert java.suite.cases[0].tools[0]["function"]["description"] == ""
    assert "1 cases of Java or JavaScript expect values of JSON" in "".join(java.notes)


def test_nulls_of_declarations_and_answers_that_no_call_can_give_are_noted(tmp_path):
    assert "1 null values of tool declarations" in imported(tmp_path, {"n": [5]}).notes[0]
    (tmp_path / "more.json").write_text(
        "\n".join(
            json.dumps(
                {
                    "id": f"simple_{k}",
                    "question": question,
                    "function": [{"name": "f", "parameters": {"type": "dict", "properties": PROPERTIES}}],
                    "ground_truth": [{"f": truth}],
                }
            )
            for k, (question, truth) in enumerate(
                [
                    ([[{"role": "user", "content": "a"}]], {"n": [1], "unknown": [""]}),
                    ([[{"role": "user", "content": "b"}]], {"n": [1], "unknown": [2]}),
                    ([[3]], {"n": [1]}),
                ]
            )
        )
    )
    suite = FORMATS["bfcl"](ImportSource(path=tmp_path / "more.json"))
    assert [case.id for case in suite.suite.cases] == ["simple_0"]
    assert "simple_1 is left out" in suite.notes[0]
    assert "with unknown, which the tool does not declare" in suite.notes[0]
    assert "simple_2, row 3: not in the form" in suite.notes[1]
