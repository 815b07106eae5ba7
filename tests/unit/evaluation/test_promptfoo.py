"""Configurations of promptfoo: files, matrices, chat prompts and templates are read or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from punie_build.data.example import ToolCall
from punie_build.errors import DataError
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.importers.registry import FORMATS, ImportedSuite, ImportSource, suite_to_toml

CONTAINS = [{"type": "contains", "value": "a"}]


def imported(folder: Path, tests: Any, prompts: Any = ("Say {{x}}",), **config: Any) -> ImportedSuite:
    """Import a configuration, which is JSON and so YAML, and write it as TOML, which reads it back."""
    table = {"prompts": list(prompts) if isinstance(prompts, tuple) else prompts, "tests": tests, **config}
    (folder / "p.yaml").write_text(json.dumps(table))
    suite = FORMATS["promptfoo"](ImportSource(path=folder / "p.yaml"))
    assert suite_to_toml(suite.suite, "").count("[[case]]") == len(suite.suite.cases)
    return suite


def one(x: Any = "hi", checks: Any = CONTAINS, **test: Any) -> list[dict[str, Any]]:
    return [{"vars": {"x": x}, "assert": checks, **test}]


def prompts(suite: ImportedSuite) -> list[str | None]:
    return [case.prompt for case in suite.suite.cases]


def test_prompts_variables_and_tests_in_files_are_read_beside_the_configuration(tmp_path):
    (tmp_path / "p.txt").write_text("Say {{x}}\n---\nTell {{x}}\n")
    (tmp_path / "v.yaml").write_text("x: from a file")
    (tmp_path / "t.json").write_text(json.dumps(one()))
    (tmp_path / "x.txt").write_text("a text\n")
    assert prompts(imported(tmp_path, one(), "file://p.txt")) == ["Say hi", "Tell hi"]
    assert prompts(imported(tmp_path, one(), ("p.txt",))) == ["Say hi", "Tell hi"]
    assert prompts(imported(tmp_path, [{"vars": "file://v.yaml", "assert": CONTAINS}])) == ["Say from a file"]
    assert prompts(imported(tmp_path, "file://t.json")) == ["Say hi"]
    assert prompts(imported(tmp_path, ["file://t.json", *one("ho")])) == ["Say hi", "Say ho"]
    assert prompts(imported(tmp_path, one("file://x.txt"))) == ["Say a text"]
    assert imported(tmp_path, one()).suite.messages(imported(tmp_path, one()).suite.cases[0])[0]["role"] == "user"


def test_chat_prompts_and_matrices_become_cases(tmp_path):
    chat = json.dumps([{"role": "system", "content": "Be {{x}}."}, {"role": "user", "content": "Go {{ y }}"}])
    suite = imported(tmp_path, [{"vars": {"x": ["a", "b"], "y": ["1", "2"]}, "assert": CONTAINS}], (chat,))
    assert [(case.system, case.prompt) for case in suite.suite.cases] == [
        (f"Be {x}.", f"Go {y}") for x in "ab" for y in "12"
    ]
    suite = imported(
        tmp_path, one("{{y}}!", [{"type": "contains", "value": "{{x}}"}]), defaultTest={"vars": {"y": "z"}}
    )
    assert prompts(suite) == ["Say z!"]
    assert score_answer(suite.suite.cases[0].checks, Answer(case="c", raw="x", content="so z!")).passed
    assert prompts(imported(tmp_path, one(options={"prefix": "<", "suffix": ">"}))) == ["<Say hi>"]


@pytest.mark.parametrize(
    ("test", "note"),
    [
        ({"vars": "file://no.csv"}, "no.csv"),
        ({"vars": [1]}, "vars [1] is not a table"),
        ({"vars": {"x": {"a": 1}}}, "the variable x is no text"),
        ({"vars": {"x": "{{ y | upper }}"}}, "{{ y | upper }}"),
        ({"vars": {}}, "{{x}} is not understood"),
        ({"options": {"transform": "output.trim()"}}, "options.transform"),
        ({"options": "x"}, "options x is not a table"),
        ({"assert": "x"}, "assert x is not a list"),
        ({"assert": [{"type": "contains", "value": "file://x.js"}]}, "value in another file"),
        ({"assert": [{"type": "contains", "value": "file://no.txt"}]}, "no file file://no.txt"),
        ({"assert": [{"type": "contains", "value": {"a": 1}}]}, "is not a text"),
        ({"assert": [{"type": "contains", "value": "a", "transform": "x"}]}, "contains with transform"),
        ({"assert": [{"type": "contains", "value": "a", "weight": 0}]}, "with weight 0"),
        ({"assert": [{"type": "contains", "value": "a", "threshold": 0.5}]}, "contains with a threshold"),
        ({"threshold": 0}, "threshold 0 of 1 assertions"),
        ({"threshold": "high"}, "threshold high of 1"),
        ({"threshold": 0.5, "assert": [*CONTAINS, {"type": "llm-rubric", "value": "x"}]}, "llm-rubric counts for a"),
        ({"threshold": 0.5, "assert": [{"$ref": "#/assertionTemplates/no"}]}, "$ref no: no such assertion template"),
        ({"threshold": 0.5, "assert": [{"type": "tool-call-f1", "value": "f"}]}, "tool-call-f1 counts for a threshold"),
        ({"threshold": 0.5, "assert": [*CONTAINS, {**CONTAINS[0], "weight": -1}]}, "weight -1 of contains"),
        ({"assert": [{"type": "assert-set", "threshold": 0.5, "assert": ["x"]}]}, "x counts for a threshold"),
        ({"assert": [{"type": "is-json", "value": {"type": "thing"}}]}, "no valid JSON Schema"),
        ({"assert": [{"type": "is-json", "value": {"$ref": "https://x.org/y"}}]}, "no valid JSON Schema"),
        ({"assert": [{"type": "is-json", "value": 3}]}, "its schema is not a table"),
        ({"assert": [{"type": "is-json", "value": "a: ["}]}, "its schema is not YAML"),
        ({"assert": [{"type": "is-json", "value": "file://s.py"}]}, "value in another file"),
        ({"assert": [{"$ref": "#/assertionTemplates/no"}]}, "no such assertion template"),
        ({"assert": ["x"]}, "x is not imported"),
    ],
)
def test_features_that_change_the_meaning_are_refused_by_name(tmp_path, test, note):
    suite = imported(tmp_path, [*one("fine"), {"vars": {"x": "hi"}, "assert": CONTAINS, **test}])
    assert prompts(suite) == ["Say fine"]
    assert any(note in line for line in suite.notes), suite.notes
    assert any("test 2 is left out" in line for line in suite.notes)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"prompts": "file://no.txt"}, "no file file://no.txt"),
        ({"prompts": [{"raw": 3}]}, "is not read"),
        ({"prompts": ['[{"role": "user"}]']}, "chat prompt"),
        ({"tests": "file://no.csv"}, "no file file://no.csv"),
        ({"tests": [3]}, "is not a table"),
        ({"tests": None, "scenarios": []}, "`scenarios` are not read"),
        ({"defaultTest": "file://d.yaml"}, "defaultTest"),
    ],
)
def test_other_shapes_of_a_configuration_are_refused_in_a_sentence(tmp_path, config, message):
    table = {"prompts": ["Say {{x}}"], "tests": one()} | config
    with pytest.raises(DataError) as caught:
        imported(tmp_path, table.pop("tests"), table.pop("prompts"), **table)
    assert message in str(caught.value)


def test_blocks_in_prompts_are_refused_and_ignored_features_are_noted(tmp_path):
    with pytest.raises(DataError, match="not understood"):
        imported(tmp_path, one(), ("Say {{x}}{% if y %} please{% endif %}",))
    suite = imported(tmp_path, one(checks=[{**CONTAINS[0], "weight": 2}], metadata="m", options={"provider": "p"}))
    assert suite.suite.cases[0].category == "all"
    assert [line for line in suite.notes if "is ignored" in line] == [
        "test-1: provider is ignored, every check must pass",
        "test 1: weight 2 of contains is ignored: every check must pass",
    ]


WEIGHED = [
    {"type": "contains", "value": "a", "weight": 3},
    {"type": "contains", "value": "b"},
    {"type": "contains", "value": "z", "weight": 0},
    {"type": "assert-set", "weight": 2, "assert": [{"type": "contains", "value": letter} for letter in "cd"]},
]


@pytest.mark.parametrize(
    ("threshold", "passing", "failing"),
    [(0.5, ["a", "ab", "bcd", "acd"], ["", "b", "cd", "bc"]), (1, ["abcd"], ["abc"]), (0.6, ["ab", "ac"], ["a"])],
)
def test_thresholds_and_weights_are_those_of_promptfoo(tmp_path, threshold, passing, failing):
    def passes(checks: Any, content: str) -> bool:
        return score_answer(checks, Answer(case="c", raw="x", content=content)).passed

    suite = imported(tmp_path, one(checks=WEIGHED, threshold=threshold))
    assert any("contains with weight 0, which only informs" in note for note in suite.notes)
    by_default = imported(tmp_path, one(checks=WEIGHED), defaultTest={"threshold": threshold})
    inner = {"type": "assert-set", "threshold": threshold, "assert": WEIGHED}
    for checks in (suite.suite.cases[0].checks, by_default.suite.cases[0].checks):
        assert [text for text in passing if not passes(checks, text)] == []
        assert [text for text in failing if passes(checks, text)] == []
    alone = imported(tmp_path, one(checks=[inner, {"type": "contains", "value": "!"}])).suite.cases[0].checks
    assert [text for text in passing if not passes(alone, f"{text}!")] == []
    assert [text for text in [*passing, *failing] if passes(alone, text)] == []


def test_objects_and_lists_of_values_keep_their_meaning(tmp_path):
    arguments = {"type": "trajectory:tool-args-match", "value": {"name": "f", "args": {"tags": ["a", "b"]}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    providers = [{"id": "p", "config": {"tools": [tool]}}]
    suite = imported(tmp_path, one(checks=[arguments]), providers=providers)
    assert suite.suite.tools == (tool,)
    checks = suite.suite.cases[0].checks
    assert score_answer(checks, Answer(case="c", raw="x", calls=(ToolCall("f", {"tags": ["a", "b"]}),))).passed
    assert not score_answer(checks, Answer(case="c", raw="x", calls=(ToolCall("f", {"tags": "a"}),))).passed
    (tmp_path / "v.txt").write_text(" so it is\n")
    checks = imported(tmp_path, one(checks=[{"type": "equals", "value": "file://v.txt"}])).suite.cases[0].checks
    assert score_answer(checks, Answer(case="c", raw="x", content="so it is")).passed
    checks = imported(tmp_path, one(checks=[{"type": "equals", "value": {"a": 1}}])).suite.cases[0].checks
    assert score_answer(checks, Answer(case="c", raw="x", content='{"a": 1}')).passed
    assert not score_answer(checks, Answer(case="c", raw="x", content='{"a": 1, "b": 2}')).passed


SCHEMA = {"type": "object", "required": ["who"], "properties": {"who": {"type": "string"}}}
GOOD, BAD = '{"who": "Ann"}', '{"who": 1}'


@pytest.mark.parametrize(
    ("kind", "schema", "passing", "failing"),
    [
        ("is-json", None, ["[1]", "3", GOOD], ["", "So: {}", '{"a": NaN}', f"```json\n{GOOD}\n```"]),
        ("is-json", SCHEMA, [GOOD, f" {GOOD}\n"], [BAD, "{}", "x", f"It is {GOOD}"]),
        ("contains-json", None, [GOOD, f"It is {BAD}.", "[1]", f"```\n{GOOD}\n```"], ["x", "{a: 1}", "{ ["]),
        ("contains-json", SCHEMA, [f"{BAD} or {GOOD}", f"It is {GOOD}."], [BAD, f"It is {BAD}", "{}"]),
        ("contains-json", json.dumps(SCHEMA), [GOOD], [BAD]),
        ("contains-json", "file://s.yaml", [GOOD], [BAD]),
        ("not-is-json", SCHEMA, [BAD, "x"], [GOOD]),
    ],
)
def test_json_is_found_and_held_against_a_schema_as_promptfoo_does(tmp_path, kind, schema, passing, failing):
    (tmp_path / "s.yaml").write_text(json.dumps(SCHEMA))
    assertion = {"type": kind} if schema is None else {"type": kind, "value": schema}
    [case] = imported(tmp_path, one(checks=[assertion])).suite.cases
    verdicts = {
        text: score_answer(case.checks, Answer(case="c", raw="x", content=text)).passed for text in passing + failing
    }
    assert verdicts == dict.fromkeys(passing, True) | dict.fromkeys(failing, False)
