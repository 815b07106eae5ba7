"""The table of experiments: columns that tell experiments apart, the metrics of locks, CSV and text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from punie_build.project import Project
from punie_build.reports import experiments
from tests.support import sample_project
from tests.support.command import punie_build


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    recipe = sample_project.RECIPE + sample_project.GRID
    return sample_project.build_project(tmp_path_factory.mktemp("project"), recipe)


def test_columns_are_params_that_differ_and_all_metrics(root):
    project = Project.load(root)
    tables = {table.kind: table for table in experiments.load(project)}
    adapters = tables["adapter"]
    assert {row.name for row in adapters.rows} == {task.name for task in project.tasks if task.kind.name == "adapter"}
    assert "learning_rate" in adapters.params
    assert "steps_per_report" not in adapters.params
    for row in adapters.rows:
        assert row.metrics == project.lock(row.label).metrics
        assert row.params["learning_rate"] == f"{project.task(row.label).spec.learning_rate:g}"
    assert {"arm", "suite"} <= {*tables["eval"].params}


def test_csv_and_json_have_every_experiment(root):
    rows = list(csv.DictReader(io.StringIO(punie_build(root, "experiments", "--csv").stdout)))
    tables = experiments.load(Project.load(root))
    assert [row["label"] for row in rows] == [row.label for table in tables for row in table.rows]
    first = tables[0].rows[0]
    name = next(iter(first.metrics))
    assert float(rows[0][f"metric.{name}"]) == first.metrics[name]
    assert first.label in punie_build(root, "experiments", "--json").stdout
    text = punie_build(root, "experiments").stdout
    assert "more columns: --csv has all" in text


def test_a_project_without_results_says_so(tmp_path, recipes):
    root = recipes('[dataset.rows]\nsource = { type = "sample", max_examples = 60 }\n')
    assert punie_build(root, "experiments").stdout == "no adapter or eval was built\n"


def test_the_learning_curves_of_the_best_adapters_are_in_one_chart_for_each_unit(root):
    project = Project.load(root)
    tokens, pairs = experiments.curves(project).context["charts"]
    assert [line["name"] for line in pairs["lines"]] == ["preferred"]
    losses = {task.name: project.lock(task).metrics["valid_loss"] for task in project.current_tasks("adapter")}
    del losses["preferred"]
    best = sorted(losses, key=losses.get)[: experiments.MOST_CURVES]
    assert [line["name"] for line in tokens["lines"]] == best
    assert tokens["others"] == len(losses) - len(best) > 0
    assert tokens["picture"].count("<polyline") == len(best)
