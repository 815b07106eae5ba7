"""Multi-turn questions of the Berkeley leaderboard: the suite of them, and its verdicts beside those of the official
checker. The package bfcl-eval is needed for most tests: pip install --no-deps bfcl-eval mpmath==1.3.0."""

from __future__ import annotations

import json
from importlib import import_module, util
from pathlib import Path
from random import Random

import pytest

from benchmarks import bfcl_conversations as benchmark
from punie_build.errors import DataError
from punie_build.evaluation import suite_validation
from punie_build.evaluation.importers.registry import FORMATS, ImportSource, detect_format
from punie_build.storage import paths
from tests.support.command import punie_build

INSTALLED = util.find_spec("bfcl_eval") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="bfcl-eval is not installed: pip install --no-deps bfcl-eval")


@pytest.fixture(scope="module")
def data() -> Path:
    return Path(import_module("bfcl_eval").__path__[0]) / "data"


def written(folder: Path, data: Path, category: str, chosen: list[int]) -> ImportSource:
    """Return some questions of a category as files of their own."""
    for part, name in ((".", "questions.json"), ("possible_answer", "answers.json")):
        lines = (data / part / f"BFCL_v4_multi_turn_{category}.json").read_text().splitlines()
        (folder / name).write_text("\n".join(lines[index] for index in chosen))
    return ImportSource(path=folder / "questions.json", answers=folder / "answers.json")


@pytest.mark.skipif(INSTALLED, reason="bfcl-eval is installed")
def test_a_missing_package_is_named(tmp_path):
    row = {"id": "multi_turn_base_0", "question": [[{"role": "user", "content": "x"}]], "involved_classes": ["MathAPI"]}
    (tmp_path / "q.json").write_text(json.dumps(row))
    source = ImportSource(path=tmp_path / "q.json")
    assert detect_format(source) == "bfcl"
    with pytest.raises(DataError, match="package bfcl-eval - pip install --no-deps bfcl-eval"):
        FORMATS["bfcl"](source)


@needs_package
@pytest.mark.parametrize("category", benchmark.CATEGORIES)
def test_verdicts_on_scripted_calls_are_those_of_the_official_checker(tmp_path, data, category):
    source = written(tmp_path, data, category, [0, 60, 110, 199])
    questions, truths = benchmark.rows(source.path), benchmark.rows(source.answers)
    suite = benchmark.imported(source, tmp_path)
    random, verdicts = Random(category), []
    for case in suite.cases:
        tools = [tool["function"]["name"] for tool in suite.tool_declarations(case)]
        for kind, turns in benchmark.probes(case, tools, 4, random):
            theirs = benchmark.official(questions[case.id], truths[case.id]["ground_truth"], turns, random)["valid"]
            passed, state = benchmark.ours(suite, case, turns)
            assert passed == theirs, (case.id, kind, state)
            assert passed or kind != "reference"
            verdicts.append(passed)
    assert {True, False} == set(verdicts)


@needs_package
def test_a_suite_of_questions_is_sound_and_says_which_has_no_reference(tmp_path, data):
    source = written(tmp_path, data, "miss_func", [0, 173])
    imported = FORMATS[detect_format(source)](source)
    assert [note.partition(":")[0] for note in imported.notes] == ["multi_turn_miss_func_173 has no reference answer"]
    suite = benchmark.imported(source, tmp_path)
    [added] = [tools for _, tools in suite.later_turns(suite.cases[0]) if tools]
    assert added[0] not in suite.tool_declarations(suite.cases[0])
    validation = suite_validation.validate_suite(suite)
    assert validation.sound
    assert set(validation.baselines.values()) == {0.0}


@needs_package
def test_rows_that_are_not_understood_are_named(tmp_path, data):
    source = written(tmp_path, data, "base", [0])
    good = json.loads(source.path.read_text())
    bad = [
        good | {"id": "a", "involved_classes": ["WebSearchAPI"]},
        good | {"id": "b", "question": good["question"][:1]},
        good | {"id": "c", "ground_truth": [["ls(a=print())"]] * len(good["question"])},
        good | {"id": "d", "ground_truth": [["no_tool()"]] * len(good["question"])},
        good | {"id": "e"},
    ]
    truths = [json.loads(source.answers.read_text())]
    truths += [truths[0] | {"id": name} for name in "ab"]
    source.path.write_text("\n".join(map(json.dumps, [good, *bad])))
    source.answers.write_text("\n".join(map(json.dumps, truths)))
    imported = FORMATS["bfcl"](source)
    assert [case.id for case in imported.suite.cases] == [good["id"]]
    assert [note.partition(",")[0] for note in imported.notes] == list("abcde")
    assert "tools of WebSearchAPI need the network or files" in imported.notes[0]


@needs_package
@pytest.mark.nightly
def test_nano_is_asked_a_question_of_several_turns(tmp_path, data):
    source = written(tmp_path, data, "base", [100])
    options = ["--answers", str(source.answers), "--output", "s.toml"]
    imported = punie_build(tmp_path, "suite", "import", str(source.path), *options)
    assert imported.returncode == 0, imported.stderr
    settings = ["--no-server", "--max-tokens", "48", "--output", "out"]
    asked = punie_build(tmp_path, "eval", "--model", str(paths.nano()), "--suite", "s.toml", *settings)
    assert asked.returncode == 0, asked.stderr
    [answer] = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    [first, *_] = answer["state"]["turns"]
    assert first == "right" or first.startswith(("no call", "wrong state")) or first.endswith("missing")
