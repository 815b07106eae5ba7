"""Importers of Inspect, OpenAI evals and lm-eval: what they read is written and read back, and the rest is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from punie_build.errors import DataError
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.importers import templates
from punie_build.evaluation.importers.registry import (
    FORMATS,
    ImportedSuite,
    ImportSource,
    detect_format,
    suite_to_toml,
)
from punie_build.evaluation.suite import Case, problems, reference_answer

RECORDED = Path(__file__).parents[2] / "support" / "result_files"


def imported(path: Path, strict: bool = False) -> ImportedSuite:
    """Import a file of the format that is detected, and write it as TOML, which reads it back."""
    source = ImportSource(path=path, strict=strict)
    suite = FORMATS[detect_format(source)](source)
    assert suite_to_toml(suite.suite, "").count("[[case]]") == len(suite.suite.cases)
    assert problems(suite.suite) == []
    for case in suite.suite.cases:
        reference = reference_answer(case)
        assert reference is not None
        assert score_answer(case.checks, reference).passed
    return suite


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def passes(case: Case, text: str) -> bool:
    return score_answer(case.checks, Answer(case=case.id, raw=text, content=text)).passed


def test_samples_of_inspect_are_asked_and_judged_by_their_targets(tmp_path):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    path = lines(
        tmp_path / "d.jsonl",
        {"input": "2 + 2?", "target": "4", "metadata": {"category": "sums"}},
        {"id": 7, "input": chat, "target": ["hello", "hi"]},
        {"id": "c", "input": "Which?", "choices": ["red", "blue"], "target": "B"},
        {"id": "no", "input": "x", "target": "y", "sandbox": "docker"},
        {"id": "image", "input": [{"role": "user", "content": [{"type": "image", "image": "x"}]}], "target": "y"},
    )
    suite = imported(path)
    first, second, third = suite.suite.cases
    assert (first.category, second.id, second.system, second.prompt) == ("sums", "7", "Be brief.", "Hi")
    assert passes(first, "It is 4.")
    assert passes(second, "Oh hi there")
    assert [passes(third, text) for text in ("B", "(B)", "Answer: B) blue", "A", "A or B", "blue")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    notes = " ".join(suite.notes)
    assert "no is left out: sandbox is not imported" in notes
    assert "image is left out: a message with an image or a sound is not imported" in notes
    assert "asked for by their letter" in notes
    assert not passes(imported(path, strict=True).suite.cases[0], "It is 4.")


def test_a_log_of_inspect_has_its_samples_and_its_scorers():
    suite = imported(RECORDED / "inspect-b.json")
    assert [case.prompt for case in suite.suite.cases][:2] == ["What is 0 + 2?", "What is 1 + 2?"]
    assert suite.notes == ("the scorer graded is not imported",)
    assert passes(suite.suite.cases[0], "So 2.")
    assert not passes(suite.suite.cases[0], "2, or 3")


def test_samples_of_openai_evals_keep_examples_and_several_ideals(tmp_path):
    system = {"role": "system", "content": "Answer yes or no."}
    example = [{"role": "system", "name": f"example_{who}", "content": who} for who in ("user", "assistant")]
    path = lines(
        tmp_path / "samples.jsonl",
        {"input": [system, {"role": "user", "content": "Is 2 even?"}], "ideal": ["Yes", "yes"]},
        {"input": [system, *example, {"role": "user", "content": "Is 3 even?"}], "ideal": "No"},
        {"input": "x", "ideal": "y", "criteria": "z"},
    )
    suite = imported(path)
    first, second = suite.suite.cases
    assert (first.system, first.prompt) == ("Answer yes or no.", "Is 2 even?")
    assert [message.role for message in second.messages or ()] == ["user", "assistant", "user"]
    assert passes(first, "yes, it is")
    assert not passes(first, "no")
    assert "sample 3 is left out: the key criteria is not imported" in suite.notes
    assert not passes(imported(path, strict=True).suite.cases[0], "yes, it is")


def task(folder: Path, **changes: Any) -> Path:
    """Write a task of lm-eval with two documents; JSON is YAML."""
    lines(folder / "docs.jsonl", *({"q": f" {i}+1? ", "a": str(i + 1), "cs": ["x", str(i + 1)]} for i in range(2)))
    values = {
        "task": "sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "Q: {{q.strip()}}",
        "doc_to_target": "a",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16},
    }
    table = {key: value for key, value in (values | changes).items() if value is not None}
    (folder / "task.yaml").write_text(json.dumps(table))
    return folder / "task.yaml"


def test_tasks_of_lm_eval_are_rendered_without_running_code(tmp_path):
    suite = imported(task(tmp_path, description="Add."))
    assert [(case.prompt, case.max_tokens) for case in suite.suite.cases] == [("Q: 0+1?", 16), ("Q: 1+1?", 16)]
    assert suite.suite.system == "Add."
    assert passes(suite.suite.cases[0], "1")
    assert "generation_kwargs.until is a setting of the eval" in suite.notes
    choice = imported(task(tmp_path, output_type="multiple_choice", doc_to_choice="{{cs}}", doc_to_target=1))
    assert choice.suite.cases[1].prompt == "Q: 1+1?\nA) x\nB) 2\nAnswer with the letter of the right choice only."
    assert passes(choice.suite.cases[0], "B")
    by_text = task(tmp_path, output_type="multiple_choice", doc_to_choice="cs", doc_to_target="{{a}}")
    assert passes(imported(by_text).suite.cases[0], "B")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"filter_list": []}, "`filter_list` is not imported"),
        ({"process_docs": "x"}, "`process_docs` is not imported"),
        ({"include": "other.yaml"}, "`include` is not imported"),
        ({"num_fewshot": 5}, "`num_fewshot` and `repeats` are not imported"),
        ({"output_type": "loglikelihood"}, "output_type loglikelihood is not imported"),
        ({"metric_list": [{"metric": "bleu"}]}, "no metric that is imported: bleu"),
        ({"dataset_path": "org/data"}, "the documents of org/data are not here - download them"),
        ({"dataset_kwargs": {"data_files": "none.json"}}, "no file none.json"),
        ({"doc_to_text": "{% if q %}x{% endif %}"}, r"the template \{% if q %\} is not understood"),
        ({"doc_to_text": "{{ q + q }}"}, "is not understood"),
        ({"doc_to_text": "{{ q.__class__ }}"}, "is not understood"),
        ({"description": "{{x}}"}, "template in `description`"),
    ],
)
def test_parts_of_a_task_that_are_not_understood_are_refused_by_name(tmp_path, changes, problem):
    with pytest.raises(DataError, match=problem):
        imported(task(tmp_path, **changes))


def test_functions_in_a_task_are_not_run(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("task: a\ndoc_to_text: !function utils.doc_to_text\n")
    with pytest.raises(DataError, match="`!function` runs code, which is not imported"):
        imported(path)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ a.b[0] }}-{{- a['b'][i] -}}", "x-y"),
        ("{{ a.b | join(', ') }}", "x, y"),
        ("{{ a | dump }} {{ a.b | length }}", '{"b": ["x", "y"]} 2'),
        ("{{ s.strip().upper() | lower }}", "s"),
        ("{{ a.b | last | upper }}", "Y"),
    ],
)
def test_templates_insert_values(template, text):
    assert templates.render_all(template, {"a": {"b": ["x", "y"]}, "i": 1, "s": " s "}) == text


@pytest.mark.parametrize("form", ["inspect", "openai", "lm-eval", "promptfoo", "bfcl"])
def test_foreign_shapes_are_sentences(tmp_path, form):
    random, path = Random(form), tmp_path / "file.json"
    words = ["input", "target", "ideal", "id", "choices", "role", "content", "doc_to_text", "tests", "assert", "vars"]
    words += ["task", "question", "function", "dataset_kwargs", "samples", "eval", "metric_list", "prompts"]

    def shape(depth: int) -> Any:
        kind = random.randrange(7 if depth else 4)
        if kind < 4:
            return random.choice([None, True, 3, -1.5, "x", "", "A", "user", "{{x}}", "file://x", "\ud800"])
        if kind < 5:
            return [shape(depth - 1) for _ in range(random.randrange(4))]
        return {random.choice(words): shape(depth - 1) for _ in range(random.randrange(6))}

    for _ in range(250):
        value = {word: shape(3) for word in random.sample(words, 9)}
        path.write_text(json.dumps(value if random.random() < 0.5 else [value, shape(3)]))
        try:
            suite = FORMATS[form](ImportSource(path=path))
            suite_to_toml(suite.suite, "")
        except DataError as error:
            assert "file.json" in str(error) or "TOML" in str(error)  # noqa: PT017


HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'from typing import List\n\n\ndef largest(xs: List[int]) -> int:\n    """ The "largest".\n    """\n',
    "entry_point": "largest",
    "canonical_solution": "    return max(xs)\n",
    "test": "M = {}\n\n\ndef check(candidate):\n    assert candidate([1, 3]) == 3\n    assert candidate([-2]) == -2\n",
}
MBPP = {
    "task_id": 601,
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b):\r\n  return a + b",
    "test_setup_code": "import math",
    "test_list": ["assert add(1, 2) == 3", "assert math.floor(add(0, 0)) == 0"],
    "challenge_test_list": ["assert add(1, 1) == 2"],
}


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\nDone."


@pytest.mark.parametrize("packed", [False, True])
def test_tasks_of_humaneval_are_judged_by_their_tests(tmp_path, packed):
    path = lines(
        tmp_path / "h.jsonl", HUMANEVAL, {**HUMANEVAL, "task_id": "x", "test": "def f(:"}, {"entry_point": "f"}
    )
    if packed:
        (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "h.jsonl.gz"
    assert detect_format(ImportSource(path=path)) == "humaneval"
    suite = imported(path)
    [case] = suite.suite.cases
    assert case.id == "HumanEval/900"
    assert HUMANEVAL["prompt"].rstrip() in (case.prompt or "")
    answers = {
        "def largest(xs):\n    return max(xs)": True,
        "    return sorted(xs)[-1]": True,
        "def largest(xs):\n    return 3": False,
        "def other(xs):\n    return max(xs)": False,
    }
    assert {code: passes(case, fenced(code)) for code in answers} == answers
    assert [note.partition(":")[0] for note in suite.notes] == ["x is left out", "row 3 is left out"]


def test_tasks_of_mbpp_are_judged_by_their_tests_in_both_forms(tmp_path):
    sanitized = {key: MBPP[key] for key in ("task_id", "code", "test_list")}
    sanitized |= {"prompt": MBPP["text"], "test_imports": ["import math"], "source_file": "a.ipynb", "more": 1}
    (tmp_path / "s.json").write_text(json.dumps([sanitized, {**sanitized, "test_list": []}]))
    full, other = imported(lines(tmp_path / "m.jsonl", MBPP)), imported(tmp_path / "s.json")
    assert full.suite == other.suite
    [case] = full.suite.cases
    assert passes(case, fenced("def add(a, b): return a + b"))
    assert not passes(case, fenced("def add(a, b): return a"))
    assert full.notes == ("challenge_test_list of 1 tasks is not imported, as in the evaluation of MBPP",)
    assert other.notes == ("601 is left out: test_list is empty", "these keys are not imported: more")


@pytest.mark.parametrize(("start", "end", "problem"), [(0, 30, "cut off"), (0, 12, "cut off"), (2, 40, "not gzip")])
def test_damaged_gzip_is_refused(tmp_path, start, end, problem):
    damaged = tmp_path / "h.jsonl.gz"
    data = gzip.compress(lines(tmp_path / "a", HUMANEVAL).read_bytes())
    damaged.write_bytes(b"\x1f\x8b" + data[2 + start : end])
    with pytest.raises(DataError, match=problem):
        FORMATS["humaneval"](ImportSource(path=damaged))


ODD = [None, True, -1, 1.5, "", [], {}, "x", [None], [[]], [{}], {"a": None}, "file://x", "{{x}}", "{% if %}", 10**400]
SEEDS = {
    "bfcl": {
        "id": "simple_0",
        "question": [[{"role": "user", "content": "hi"}]],
        "function": [{"name": "f", "parameters": {"properties": {"a": {"type": "array"}}, "required": []}}],
        "ground_truth": [{"f": {"a": [[1]]}}],
    },
    "inspect": {"id": "a", "input": [{"role": "user", "content": "x"}], "target": ["B"], "choices": ["a", "b"]},
    "openai": {"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "ideal": ["a"]},
    "older": {"id": "a", "category": "c", "prompt_text": "p", "expected_tool_calls": ["f"]},
    "humaneval": HUMANEVAL,
    "mbpp": MBPP,
    "promptfoo": {
        "prompts": ["Say {{x}}"],
        "providers": [{"config": {"tools": [{"function": {"name": "f", "parameters": {"properties": {}}}}]}}],
        "defaultTest": {"vars": {"y": "1"}, "options": {"prefix": "p"}},
        "tests": [
            {
                "vars": {"x": ["a", "b"]},
                "assert": [
                    {"type": "contains", "value": "a"},
                    {"type": "latency", "threshold": 5},
                    {"type": "assert-set", "assert": [{"type": "tool-call-f1", "value": ["f"]}]},
                    {"type": "trajectory:tool-args-match", "value": {"name": "f", "args": {"a": [1]}}},
                ],
            }
        ],
    },
    "lm-eval": {
        "task": "t",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "d.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": ["a", "b"],
        "doc_to_target": "t",
        "metric_list": [{"metric": "acc"}],
    },
}


def misshapen(value: Any, random: Random) -> Any:
    """Return a value in which parts are missing or of another type."""
    if random.random() < 0.1:
        return random.choice(ODD)
    if isinstance(value, dict):
        return {key: misshapen(item, random) for key, item in value.items() if random.random() > 0.04}
    return [misshapen(item, random) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("form", SEEDS)
def test_a_file_of_any_shape_is_imported_or_refused(tmp_path, form):
    random, refused = Random(form), 0
    (tmp_path / "d.jsonl").write_text('{"q": "a", "t": 0}\n{"q": null, "t": 9}\n')
    path = tmp_path / "f.yaml"
    for _ in range(120):
        path.write_text(json.dumps(misshapen(SEEDS[form], random)))
        try:
            suite = FORMATS[form](ImportSource(path=path)).suite
            suite_to_toml(suite, "")
            problems(suite)
        except DataError:
            refused += 1
    assert 0 < refused < 120
