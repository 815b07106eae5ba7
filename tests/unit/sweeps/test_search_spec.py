"""Specs of searches: mistakes in ranges and spaces."""

from __future__ import annotations

import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.errors import RecipeError
from punie_build.project import Project
from punie_build.sweeps.search_spec import Range, Search, problems
from punie_build.training.spec import Adapter
from tests.support.project import SAMPLE

ADAPTER = Adapter(base="nano", data="sample", iters=2)
RECIPE = f"""
{SAMPLE}
[adapter.one]
base = "nano"
data = "sample"
iters = 2

[search.depth]
adapter = "one"
space = {{ num_layers = [1, 2, 99] }}
"""


@pytest.mark.parametrize(
    ("field", "values", "problem"),
    [
        ("learning_rate", Range(low=1e-5, high=3.0), "space.learning_rate.high: expected 'float' <= 1.0"),
        ("lora.rank", (4, 0), "space.lora.rank[1]: expected 'int' >= 1"),
        ("lora.rnk", (4, 8), "space.lora.rnk[0]: unknown key - did you mean 'rank'?"),
        ("mask", ("all", "last"), "space.mask: cannot be searched: losses over different tokens cannot be ranked"),
        ("seed", (1, 2), "space.seed: cannot be searched: it does not improve an adapter"),
        ("iters", (1,), "space.iters: fewer than two values"),
    ],
)
def test_a_field_that_cannot_be_searched_is_a_mistake(field, values, problem):
    search = Search(adapter="one", space={field: values})
    assert next(problems(search, KINDS["adapter"], ADAPTER, "x: search.s")).startswith(f"x: search.s.{problem}")


def test_a_range_of_values_that_the_field_may_have_is_no_mistake():
    search = Search(adapter="one", space={"learning_rate": Range(low=1e-5, high=0.1)})
    assert not list(problems(search, KINDS["adapter"], ADAPTER, ""))


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("{ iters = { low = 3, high = 3 } }", "exchange them"),
        ("{ iters = { low = 0, high = 3, log = true } }", "starts above 0"),
        ("{ iters = { low = 1, high = 3, log = true, step = 1 } }", "exclude each other"),
        ("{ iters = { low = 1, hihg = 3 } }", "hihg"),
        ("{}", "search.depth.space: expected"),
    ],
)
def test_each_mistake_in_a_space_is_reported(recipes, space, problem):
    with pytest.raises(RecipeError, match=problem):
        Project.load(recipes(RECIPE.replace("{ num_layers = [1, 2, 99] }", space)))


def test_a_search_starts_from_an_adapter_of_one_value_each(recipes):
    with pytest.raises(RecipeError, match=r"search\.depth\.adapter: one is a grid - name an adapter of one value each"):
        Project.load(recipes(RECIPE.replace("iters = 2", "iters = [2, 3]")))
