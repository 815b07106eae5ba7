"""Expectations: data that does not meet them is not published, and no artifact is built from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from punie_build.data.filters.union import ContentQuality
from punie_build.data.spec import Stage
from punie_build.engine.gates import Gate, expectations, unmet_expectations
from punie_build.errors import RecipeError
from punie_build.project import Project
from tests.support.command import punie_build
from tests.support.doit_runner import doit, ran
from tests.support.project import create

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 40 }

[stage.long]
from = "sample"
filters = [{ type = "min-messages", messages = 2 }]
#expect

[stage.good]
from = "long"
filters = [{ type = "content-quality" }]
"""


@pytest.fixture
def project(tmp_path) -> Path:
    return create(tmp_path, RECIPE)


def expect(project: Path, text: str) -> None:
    create(project, RECIPE.replace("#expect", f"expect = {{ {text} }}"))


def check(project: Path, code: int) -> str:
    process = punie_build(project, "check", "--gate")
    assert process.returncode == code, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
def test_unexpected_data_stays_unpublished_in_the_store(project):
    expect(project, "rows = [100, 200]")
    for _ in range(2):  # it does not count as built
        output = doit(project, code=1)
        assert "recipes/project.toml: stage.long.expect.rows: 38, but the recipe expects 100 to 200" in output
        assert "stage:good" not in ran(output)
        assert not (project / "data" / "long").exists()
    expect(project, "rows = 38, categories = { none = 0 }")
    output = doit(project)
    assert "restored from the store" in output
    assert "stage:good" in ran(output)
    assert "3 artifacts: 3 current" in doit(project)


@pytest.mark.slow
def test_an_expectation_is_not_part_of_the_key(project):
    doit(project)
    expect(project, "rows = [30, 40], train = [1, inf]")
    assert "3 artifacts: 3 current" in doit(project)


@pytest.mark.slow
def test_published_data_that_misses_a_new_expectation_stops_the_build(project):
    doit(project)
    expect(project, "rows = 39")
    assert "stage.long.expect.rows: 38, but the recipe expects 39" in doit(project, code=1)
    assert (project / "data" / "long").exists(), "published data stays"
    assert "expect.rows: 38, but the recipe expects 39" in check(project, 2)


def test_all_mistakes_of_an_expectation_are_reported(recipes):
    root = recipes(RECIPE.replace("#expect", "expect = { row = 3, rows = [5, 1], categories = 0.5 }"))
    with pytest.raises(RecipeError) as error:
        Project.load(root)
    message = str(error.value)
    assert "expect.row: data has no such metric - did you mean 'rows'?" in message
    assert "expect.rows: from 5 to 1 lets nothing pass" in message
    assert "expect.categories: data has no such metric" in message


def test_the_share_of_a_category_without_rows_is_0():
    gate = Gate(metric="categories.x", min=0.1)
    assert gate.problem({"rows": 3.0}) == "gate 'categories.x': 0 is below 0.1"
    assert Gate(metric="rows", min=1).problem({}) is not None


@pytest.mark.parametrize(
    ("expect", "metrics", "problems"),
    [
        ({"rows": 5.0}, {"rows": 5.0}, []),
        ({"rows": 5.0}, {"rows": 6.0}, ["expect.rows: 6, but the recipe expects 5"]),
        ({"rows": (1.0, 5.0)}, {"rows": 5.0}, []),
        (
            {"categories": {"a b": (0.1, 0.2)}},
            {"categories.a b": 0.3},
            ["expect.categories.a b: 0.3, but the recipe expects 0.1 to 0.2"],
        ),
        ({"categories": {"a": 0.0}}, {}, []),
    ],
)
def test_expectations_are_gates(expect, metrics, problems):
    spec = Stage(from_="a", filters=(ContentQuality(),), expect=expect)
    assert unmet_expectations(spec, metrics) == problems
    assert len([*expectations(spec)]) == 1
