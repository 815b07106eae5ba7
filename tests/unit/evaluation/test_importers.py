from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from punie_build.cli.main import main
from punie_build.data.example import ToolCall
from punie_build.errors import DataError
from punie_build.evaluation import suite_file
from punie_build.evaluation.checks.union import (
    Answer,
    Calls,
    Contains,
    Finish,
    NoCall,
    Not,
    Recall,
    score_answer,
)
from punie_build.evaluation.importers import registry
from punie_build.evaluation.importers.registry import FORMATS, ImportSource
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite

OLDER = [
    {"id": "tool-01", "category": "tool_calling", "prompt_text": "Read the file", "expected_tool_calls": ["read_file"], "expected_keywords": ["localhost"]},
    {"id": "reason-02", "category": "reasoning", "prompt_text": "How fast is it?", "expected_keywords": ["O(log n)", "binary search"]},
    {"id": "text-01", "category": "reasoning", "prompt_text": "What is ls?", "expected_keywords": ["ls"]},
]  # fmt: skip
PYTHON = """
raise SystemExit("never run")
SUITE = EvalSuite("baseline", (
    EvalPrompt(id="tool-01", category="tool_calling", prompt_text="Read the " "file", expected_tool_calls=("read_file",), expected_keywords=("localhost",)),
    suites.EvalPrompt("reason-02", "reasoning", "How fast is it?", (), ("O(log n)", "binary search")),
    EvalPrompt(id="text-01", category="reasoning", prompt_text="What is ls?", expected_keywords=("ls",)),
))
"""
BFCL = [
    {
        "id": "simple_0",
        "question": [[{"role": "user", "content": "Area of a triangle, base 10 and height 5?"}]],
        "function": [{"name": "area", "description": "d", "parameters": {"type": "dict", "properties": {"base": {"type": "float"}, "height": {"type": "integer"}, "unit": {"type": "string"}, "opts": {"type": "dict"}}, "required": ["base", "height"]}}],
    },
    {"id": "irrelevance_1", "question": [[{"role": "user", "content": "Hi"}]], "function": [{"name": "area", "parameters": {"type": "dict"}}]},
    {"id": "live_relevance_2-0", "question": [[{"role": "system", "content": "s"}, {"role": "user", "content": "Any"}]], "function": [{"name": "area", "parameters": {"type": "dict"}}]},
    {"id": "multi_turn_base_0", "question": [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]], "function": []},
    {"id": "simple_9", "question": [[{"role": "user", "content": "lost"}]], "function": []},
]  # fmt: skip
TRUTH = [
    {
        "id": "simple_0",
        "ground_truth": [
            {
                "area": {
                    "base": [10, 10.0],
                    "height": [5],
                    "unit": ["square units", ""],
                    "opts": [{"deep": [1, 2], "soft": ["x", ""]}, ""],
                }
            }
        ],
    }
]
PROMPTFOO = """
prompts: ["Ask: {{q}}", "Say: {{ q }}"]
defaultTest:
  assert: [{type: latency, threshold: 2500}]
tests:
  - description: sums
    vars: {q: 2 + 3}
    assert:
      - {type: contains, value: "5"}
      - {type: not-icontains, value: sorry}
      - {type: llm-rubric, value: "is it kind?"}
  - vars: {q: read it}
    assert:
      - type: trajectory:tool-args-match
        value: {name: read_file, args: {path: a.py}, mode: partial}
      - {type: finish-reason, value: tool_calls}
  - vars: {q: x}
    assert: [{type: assert-set, assert: [{type: is-json}, {type: tool-call-f1, value: "a, b"}]}]
"""


def put(folder: Path, name: str, rows: object) -> Path:
    path = folder / name
    path.write_text(rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows))  # type: ignore[union-attr]
    return path


def again(made: Suite, folder: Path) -> Suite:
    """The suite as its own TOML is read."""
    (folder / "again.toml").write_text(registry.suite_to_toml(made, "about"), encoding="utf-8")
    table = tomllib.loads((folder / "again.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table, Suite)


def test_the_older_form_is_one_whether_json_lines_or_python(tmp_path):
    whole = put(tmp_path, "a.json", json.dumps({"name": "baseline", "prompts": OLDER}))
    made = [
        FORMATS["older"](ImportSource(path=path)).suite
        for path in (whole, put(tmp_path, "a.jsonl", OLDER), put(tmp_path, "a.py", PYTHON))
    ]
    assert made[0] == made[1] == made[2] == again(made[0], tmp_path)
    assert made[0].cases[0].checks == (Recall(tools=("read_file",), words=("localhost",)),)


def test_the_older_form_judged_strictly_sees_what_it_did_not(tmp_path):
    """The older score is blind to what fine-tuning breaks: extra calls are free, and `ls` is found in "tools"."""
    path = put(tmp_path, "a.jsonl", OLDER)
    free, strict = (
        FORMATS["older"](ImportSource(path=path)).suite,
        FORMATS["older"](ImportSource(path=path, strict=True)).suite,
    )
    talk = Answer(case="text-01", raw="x", content="I have no tools for that.")
    assert score_answer(free.cases[2].checks, talk).passed
    assert not score_answer(strict.cases[2].checks, talk).passed
    both = Answer(
        case="tool-01",
        raw="x",
        content="localhost",
        calls=(ToolCall("read_file", {"path": "/etc/hosts"}), ToolCall("kill", {})),
    )
    assert score_answer(free.cases[0].checks, both).passed
    assert score_answer(strict.cases[0].checks, both).failure == "extra call"
    assert score_answer(strict.cases[0].checks, msgspec.structs.replace(both, calls=both.calls[:1])).passed
    assert strict.cases[1].checks == (NoCall(), Contains(words=("O(log n)", "binary search")))


def test_the_berkeley_form_keeps_its_meaning(tmp_path):
    made = FORMATS["bfcl"](ImportSource(path=put(tmp_path, "q.jsonl", BFCL), answers=put(tmp_path, "a.jsonl", TRUTH)))
    assert [case.id for case in made.suite.cases] == ["simple_0", "irrelevance_1", "live_relevance_2-0"]
    assert len(made.notes) == 2
    simple = made.suite.cases[0]
    assert simple.category == "simple"
    [tool] = made.suite.tool_declarations(simple)
    assert tool["function"]["parameters"]["type"] == "object"
    assert tool["function"]["parameters"]["properties"]["base"]["type"] == "number"

    def passes(**arguments: object) -> bool:
        return score_answer(simple.checks, Answer(case="s", raw="x", calls=(ToolCall("area", arguments),))).passed

    assert passes(base=10, height=5)
    assert passes(base=10.0, height=5, unit="Square-Units", opts={"deep": 2})
    assert passes(base=10, height=5, opts={"deep": 1, "soft": "X"})
    assert not passes(base=10, height=6)
    assert not passes(base=10)
    assert not passes(base=10, height=5, opts={"soft": "x"})
    assert not passes(base=10, height=5, color="red")
    assert made.suite.cases[1].checks == (NoCall(),)
    assert score_answer(
        made.suite.cases[2].checks, Answer(case="r", raw="x", calls=(ToolCall("area", {"any": 1}),))
    ).passed
    assert again(made.suite, tmp_path) == made.suite


def test_promptfoo_assertions_become_checks_and_the_rest_is_told(tmp_path):
    made = FORMATS["promptfoo"](ImportSource(path=put(tmp_path, "p.yaml", PROMPTFOO)))
    assert [case.id for case in made.suite.cases][:3] == ["test-1-1", "test-1-2", "test-2-1"]
    assert made.suite.cases[1].prompt == "Say: 2 + 3"
    assert {case.group for case in made.suite.cases[:2]} == {"test-1"}
    kinds = [type(check).__name__ for check in made.suite.cases[0].checks]
    assert kinds == ["Latency", "Contains", "Not"]
    assert made.suite.cases[0].checks[2] == Not(check=Contains(words=("sorry",)))
    call = made.suite.cases[2].checks[1]
    assert isinstance(call, Calls)
    assert call.score(
        Answer(case="x", raw="x", calls=(ToolCall("read_file", {"path": "a.py", "line": 3}), ToolCall("z", {})))
    ).passed
    assert made.suite.cases[2].checks[2] == Finish(reason="tool_calls")
    assert made.notes == ("test 1: llm-rubric is not imported",)
    assert again(made.suite, tmp_path) == made.suite


@pytest.mark.parametrize(
    ("form", "name", "text", "said"),
    [
        ("older", "a.jsonl", '{"id": 1', "a.jsonl:1: not JSON"),
        ("older", "a.jsonl", '{"id": "a"}', "no `prompt_text`"),
        ("older", "a.py", "def (", "not Python"),
        ("older", "a.py", "EvalPrompt(id=name)", "not a literal"),
        ("bfcl", "a.jsonl", '{"id": "a", "question": [[]], "function": []}', "no case that can be imported"),
        ("promptfoo", "a.yaml", "tests: [", "not YAML"),
        ("promptfoo", "a.yaml", "!!python/object/apply:os.system ['true']", "not YAML"),
        ("promptfoo", "a.yaml", "prompts: [x]", "no `tests`"),
    ],
)
def test_what_is_no_suite_says_what_is_wrong(tmp_path, form, name, text, said):
    with pytest.raises(DataError) as caught:
        FORMATS[form](ImportSource(path=put(tmp_path, name, text)))
    assert said in str(caught.value)


def test_a_suite_is_imported_and_checked_by_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "q.jsonl", BFCL)
    put(tmp_path, "a.jsonl", TRUTH)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["suite", *words])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out + told.err

    code, told = run("import", "q.jsonl", "--answers", "a.jsonl", "--output", "suites/x.toml")
    assert code == 0
    assert "3 cases written to suites/x.toml" in told
    assert "note: simple_9: no possible answer" in told
    assert suite_file.read_suite(SuiteFile(file="suites/x.toml"), tmp_path, "")[1] == []
    assert run("import", "q.jsonl", "--output", "suites/x.toml")[0] == 2
    assert run("import", "none.jsonl", "--output", "y.toml")[0] == 2
    code, told = run("check", "suites/x.toml")
    assert code == 2
    assert "baseline that only writes prose passes 33.3%" in told
    code, told = run("check", "tool-calling")
    assert code == 0
    assert "the suite may gate" in told
    assert run("check", "../outside.toml")[0] in (2, 3)
