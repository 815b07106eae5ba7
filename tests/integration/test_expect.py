"""What a recipe expects of its data: data that came out otherwise is not published, and nothing is made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.data.filters.union import ContentQuality
from punie_build.data.spec import Stage
from punie_build.engine.gates import Gate, expected, objections
from punie_build.errors import RecipeError
from punie_build.recipes.loader import load
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
    words = [sys.executable, "-c", "from punie_build.cli.main import main; main()", "check", "--gate"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_data_that_is_not_as_expected_is_not_published_and_waits_in_the_store(project):
    expect(project, "rows = [100, 200]")
    for _ in range(2):  # it does not count as made
        said = doit(project, code=1)
        assert "recipes/project.toml: stage.long.expect.rows: 38, and the recipe expects 100 to 200" in said
        assert "stage:good" not in ran(said)
        assert not (project / "data" / "long").exists()
    expect(project, "rows = 38, categories = { none = 0 }")
    assert "restored from the store" in (said := doit(project))
    assert "stage:good" in ran(said)
    assert "3 artifacts: 3 current" in doit(project)


def test_an_expectation_is_no_part_of_what_data_is(project):
    doit(project)
    expect(project, "rows = [30, 40], train = [1, inf]")
    assert "3 artifacts: 3 current" in doit(project)


def test_data_that_was_made_before_it_was_expected_otherwise_stops_the_build_too(project):
    doit(project)
    expect(project, "rows = 39")
    assert "stage.long.expect.rows: 38, and the recipe expects 39" in doit(project, code=1)
    assert (project / "data" / "long").exists(), "what was there stays"
    assert "expect.rows: 38, and the recipe expects 39" in check(project, 2)


def test_every_mistake_of_an_expectation_is_told(recipes):
    root = recipes(RECIPE.replace("#expect", "expect = { row = 3, rows = [5, 1], categories = 0.5 }"))
    with pytest.raises(RecipeError) as error:
        load(root)
    said = str(error.value)
    assert "expect.row: no such number of data - did you mean 'rows'?" in said
    assert "expect.rows: from 5 to 1 lets nothing pass" in said
    assert "expect.categories: no such number" in said


def test_a_share_of_a_category_that_no_row_has_is_none():
    gate = Gate(metric="categories.x", min=0.1)
    assert gate.problem({"rows": 3.0}) == "gate 'categories.x': 0 is below 0.1"
    assert Gate(metric="rows", min=1).objection({}) is not None


@pytest.mark.parametrize(
    ("expect", "metrics", "said"),
    [
        ({"rows": 5.0}, {"rows": 5.0}, []),
        ({"rows": 5.0}, {"rows": 6.0}, ["expect.rows: 6, and the recipe expects 5"]),
        ({"rows": (1.0, 5.0)}, {"rows": 5.0}, []),
        ({"categories": {"a b": (0.1, 0.2)}}, {"categories.a b": 0.3}, ["expect.categories.a b: 0.3, and the recipe expects 0.1 to 0.2"]),
        ({"categories": {"a": 0.0}}, {}, []),
    ],
)  # fmt: skip
def test_expectations_are_gates(expect, metrics, said):
    spec = Stage(from_="a", filters=(ContentQuality(),), expect=expect)
    assert objections(spec, metrics) == said
    assert len([*expected(spec)]) == 1
