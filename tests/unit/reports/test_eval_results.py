"""Evaluation results in the files of the Hub, for suites that are of one of its data sets."""

from __future__ import annotations

import yaml
from huggingface_hub import parse_eval_result_entries

from punie_build.project import Project
from punie_build.reports import eval_results
from punie_build.reports.pages.adapter import EvalResult
from tests.support.command import punie_build
from tests.support.project import create, edit

RECIPE = """
[suite.bench]
embedded = "baseline"
dataset = "org/bench"
dataset_task = "hard"

[suite.own]
embedded = "tool-calling"
"""


def test_only_suites_of_a_data_set_have_a_result_of_the_hub(tmp_path):
    project = Project.load(create(tmp_path / "project", RECIPE))
    results = tuple(
        EvalResult(name="v1", suite=suite, passed=3, cases=7, canary="abc", suite_digest="d" * 64)
        for suite in ("bench", "own", "removed")
    )
    (tmp_path / "out").mkdir()
    eval_results.write(project, results, tmp_path / "out")
    [path] = [path for path in tmp_path.rglob("*.yaml") if path.is_file()]
    assert path.relative_to(tmp_path).as_posix() == "out/.eval_results/bench.yaml"
    [entry] = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/bench", "hard", 42.86)
    assert entry.notes is not None
    assert entry.notes.startswith("3 of 7 cases of the suite bench pass, 95 % interval 15.8% to 75.0%")


def test_a_data_set_is_named_by_owner_and_name(tmp_path):
    project = create(tmp_path, RECIPE)
    edit(project, "org/bench", "https://x/y/z")
    assert "suite.bench.dataset" in punie_build(project, "plan").stderr
