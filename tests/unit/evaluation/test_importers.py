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

EVAL_PROMPTS = [
    {
        "id": "tool-01",
        "category": "tool_calling",
        "prompt_text": "Read the file",
        "expected_tool_calls": ["read_file"],
        "expected_keywords": ["localhost"],
    },
    {
        "id": "reason-02",
        "category": "reasoning",
        "prompt_text": "How fast is it?",
        "expected_keywords": ["O(log n)", "binary search"],
    },
    {"id": "text-01", "category": "reasoning", "prompt_text": "What is ls?", "expected_keywords": ["ls"]},
]
PYTHON = """
raise SystemExit("never run")
SUITE = EvalSuite("baseline", (
    EvalPrompt(id="tool-01", category="tool_calling", prompt_text="Read the file",
        expected_tool_calls=("read_file",), expected_keywords=("localhost",)),
    suites.EvalPrompt("reason-02", "reasoning", "How fast is it?", (), ("O(log n)", "binary search")),
    EvalPrompt(id="text-01", category="reasoning", prompt_text="What is ls?", expected_keywords=("ls",)),
))
"""
BFCL = [
    {
        "id": "simple_0",
        "question": [[{"role": "user", "content": "Area of a triangle, base 10 and height 5?"}]],
        "function": [
            {
                "name": "area",
                "description": "d",
                "parameters": {
                    "type": "dict",
                    "properties": {
                        "base": {"type": "float"},
                        "height": {"type": "integer"},
                        "unit": {"type": "string"},
                        "opts": {"type": "dict"},
                    },
                    "required": ["base", "height"],
                },
            }
        ],
    },
    {
        "id": "irrelevance_1",
        "question": [[{"role": "user", "content": "Hi"}]],
        "function": [{"name": "area", "parameters": {"type": "dict"}}],
    },
    {
        "id": "live_relevance_2-0",
        "question": [[{"role": "system", "content": "s"}, {"role": "user", "content": "Any"}]],
        "function": [{"name": "area", "parameters": {"type": "dict"}}],
    },
    {
        "id": "multi_turn_base_0",
        "question": [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]],
        "function": [],
    },
    {"id": "simple_9", "question": [[{"role": "user", "content": "lost"}]], "function": []},
]
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


def write(folder: Path, name: str, rows: object) -> Path:
    path = folder / name
    text = rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows)  # type: ignore[union-attr]
    path.write_text(text)
    return path


def read_back(imported: Suite, folder: Path) -> Suite:
    """The suite as its own TOML is read."""
    (folder / "again.toml").write_text(registry.suite_to_toml(imported, "about"), encoding="utf-8")
    table = tomllib.loads((folder / "again.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table, Suite)


def test_eval_prompts_in_json_jsonl_and_python_are_equal(tmp_path):
    as_json = write(tmp_path, "a.json", json.dumps({"name": "baseline", "prompts": EVAL_PROMPTS}))
    imported = [
        FORMATS["older"](ImportSource(path=path)).suite
        for path in (as_json, write(tmp_path, "a.jsonl", EVAL_PROMPTS), write(tmp_path, "a.py", PYTHON))
    ]
    assert imported[0] == imported[1] == imported[2] == read_back(imported[0], tmp_path)
    assert imported[0].cases[0].checks == (Recall(tools=("read_file",), words=("localhost",)),)


def test_strict_eval_prompts_fail_extra_calls_and_partial_words(tmp_path):
    """The older score is blind to what fine-tuning breaks: extra calls are free, and `ls` is found in "tools"."""
    path = write(tmp_path, "a.jsonl", EVAL_PROMPTS)
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


def test_bfcl_answers_keep_their_meaning(tmp_path):
    imported = FORMATS["bfcl"](
        ImportSource(path=write(tmp_path, "q.jsonl", BFCL), answers=write(tmp_path, "a.jsonl", TRUTH))
    )
    assert [case.id for case in imported.suite.cases] == ["simple_0", "irrelevance_1", "live_relevance_2-0"]
    assert len(imported.notes) == 2
    simple = imported.suite.cases[0]
    assert simple.category == "simple"
    [tool] = imported.suite.tool_declarations(simple)
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
    assert imported.suite.cases[1].checks == (NoCall(),)
    assert score_answer(
        imported.suite.cases[2].checks, Answer(case="r", raw="x", calls=(ToolCall("area", {"any": 1}),))
    ).passed
    assert read_back(imported.suite, tmp_path) == imported.suite


def test_promptfoo_assertions_become_checks_or_notes(tmp_path):
    imported = FORMATS["promptfoo"](ImportSource(path=write(tmp_path, "p.yaml", PROMPTFOO)))
    assert [case.id for case in imported.suite.cases][:3] == ["test-1-1", "test-1-2", "test-2-1"]
    assert imported.suite.cases[1].prompt == "Say: 2 + 3"
    assert {case.group for case in imported.suite.cases[:2]} == {"test-1"}
    kinds = [type(check).__name__ for check in imported.suite.cases[0].checks]
    assert kinds == ["Latency", "Contains", "Not"]
    assert imported.suite.cases[0].checks[2] == Not(check=Contains(words=("sorry",)))
    call = imported.suite.cases[2].checks[1]
    assert isinstance(call, Calls)
    assert call.score(
        Answer(case="x", raw="x", calls=(ToolCall("read_file", {"path": "a.py", "line": 3}), ToolCall("z", {})))
    ).passed
    assert imported.suite.cases[2].checks[2] == Finish(reason="tool_calls")
    assert imported.notes == (
        "2 prompts are imported as wordings of one question",
        "test 1: llm-rubric is not imported",
    )
    assert read_back(imported.suite, tmp_path) == imported.suite


@pytest.mark.parametrize(
    ("form", "name", "text", "message"),
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
def test_an_invalid_file_is_rejected_with_its_mistake(tmp_path, form, name, text, message):
    with pytest.raises(DataError) as caught:
        FORMATS[form](ImportSource(path=write(tmp_path, name, text)))
    assert message in str(caught.value)


def test_suites_are_imported_and_validated_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "q.jsonl", BFCL)
    write(tmp_path, "a.jsonl", TRUTH)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["suite", *words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    code, output = run("import", "q.jsonl", "--answers", "a.jsonl", "--output", "suites/x.toml")
    assert code == 0
    assert "3 cases written to suites/x.toml" in output
    assert "note: simple_9: no possible answer" in output
    assert suite_file.read_suite(SuiteFile(file="suites/x.toml"), tmp_path, "")[1] == []
    assert run("import", "q.jsonl", "--output", "suites/x.toml")[0] == 2
    assert run("import", "none.jsonl", "--output", "y.toml")[0] == 2
    code, output = run("check", "suites/x.toml")
    assert code == 2
    assert "baseline that only writes prose passes 33.3%" in output
    code, output = run("check", "tool-calling")
    assert code == 0
    assert "the suite can be used for gates" in output
    assert run("check", "../outside.toml")[0] in (2, 3)


@pytest.mark.parametrize("calls", [[{"name": "a", "args": {}}], "abc", [3], {"a": 1}])
def test_eval_prompts_with_other_shapes_of_calls_are_refused(tmp_path, calls):
    row = {"prompt_text": "x", "expected_tool_calls": calls}
    with pytest.raises(DataError, match="prompt 1: `expected_tool_calls`"):
        FORMATS["older"](ImportSource(path=write(tmp_path, "a.jsonl", [row])))
    row["expected_tool_calls"] = [{"name": "a"}]
    suite = FORMATS["older"](ImportSource(path=write(tmp_path, "a.jsonl", [row]))).suite
    assert suite.cases[0].checks == (Recall(tools=("a",)),)
