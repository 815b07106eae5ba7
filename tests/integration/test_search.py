from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from punie_build.cli.main import main
from punie_build.errors import RecipeError
from punie_build.recipes.loader import load
from punie_build.schema.spec import toml
from punie_build.storage import locks, paths
from punie_build.sweeps.axes import unflatten
from punie_build.sweeps.search_spec import Range, Search, problems
from punie_build.training.spec import Adapter
from tests.support import project
from tests.support.doit_runner import doit
from tests.support.project import SAMPLE, create

ADAPTER = Adapter(base="nano", data="sample", iters=2)
RECIPE = (
    SAMPLE
    + """
[adapter.one]
base = "nano"
data = "sample"
iters = 2
batch_size = 2
max_seq_length = 512
val_batches = 1
lora = { rank = 2, scale = 5.0 }

[search.depth]
adapter = "one"
space = { num_layers = [1, 2, 99] }
"""
)


@pytest.mark.parametrize(
    ("field", "within", "told"),
    [
        ("learning_rate", Range(low=1e-5, high=3.0), "space.learning_rate.high: expected 'float' <= 1.0"),
        ("lora.rank", (4, 0), "space.lora.rank[1]: expected 'int' >= 1"),
        ("lora.rnk", (4, 8), "space.lora.rnk[0]: unknown key - did you mean 'rank'?"),
        ("mask", ("all", "last"), "space.mask: cannot be searched: losses over different tokens cannot be ranked"),
        ("seed", (1, 2), "space.seed: cannot be searched: it does not improve an adapter"),
        ("iters", (1,), "space.iters: fewer than two values"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_tried(field, within, told):
    found = list(problems(Search(adapter="one", space={field: within}), ADAPTER, "x: search.s"))
    assert found[0].startswith(f"x: search.s.{told}")
    assert not list(problems(Search(adapter="one", space={"learning_rate": Range(low=1e-5, high=0.1)}), ADAPTER, ""))


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{ iters = { low = 3, high = 3 } }", "exchange them"),
        ("{ iters = { low = 0, high = 3, log = true } }", "starts above 0"),
        ("{ iters = { low = 1, high = 3, log = true, step = 1 } }", "exclude each other"),
        ("{ iters = { low = 1, hihg = 3 } }", "hihg"),
        ("{}", "search.depth.space: expected"),
    ],
)
def test_mistakes_in_a_space_are_told(recipes, space, told):
    with pytest.raises(RecipeError, match=told):
        load(recipes(RECIPE.replace("{ num_layers = [1, 2, 99] }", space)))


def test_a_search_starts_from_an_adapter_of_one_value_each(recipes):
    with pytest.raises(RecipeError, match=r"search\.depth\.adapter: one is a grid - name an adapter of one value each"):
        load(recipes(RECIPE.replace("iters = 2", "iters = [2, 3]")))


def test_a_table_written_as_toml_says_the_same():
    table = {"a": [1, 2.5, True, 'x"\\\n\x7f€😀'], "b.c": {"type": "adam", "betas": [0.9, 1e-05]}, "": {}}
    assert tomllib.loads(f"x = {toml(table)}") == {"x": table}
    assert unflatten({"lora.rank": 8, "lora.scale": 1.0, "iters": 3}) == {"lora": {"rank": 8, "scale": 1.0}, "iters": 3}


def told(arguments: list[str], capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return create(tmp_path_factory.mktemp("search"), RECIPE)


def trials(root: Path) -> dict:
    return tomllib.loads((root / "recipes/depth.trials.toml").read_text())["adapter"]["depth"]


def test_every_trial_is_an_adapter_and_one_that_fails_is_remembered(root, capsys, monkeypatch, shared_store):
    monkeypatch.chdir(root)
    monkeypatch.setenv("PUNIE_BUILD_STORE", shared_store)
    code, said = told(["search", "depth", "--trials", "9"], capsys)
    assert code == 0, said
    assert "num_layers: 99, and nano has 4 layers" in said
    assert "nothing new after 20 proposals" in said
    assert "best of 2 settings" in said
    held = trials(root)
    assert sorted(cell["num_layers"] for cell in held["cells"]) == [1, 2]
    assert held["failed"] == [{"num_layers": 99}]
    assert held["lora"] == {"rank": 2, "scale": 5.0}
    assert (root / "adapters/depth@num_layers-1/adapters.safetensors").exists()
    assert "adapter:depth@num_layers-1" in doit(root, "list")


def test_an_interrupted_trial_is_finished_and_nothing_is_trained_twice(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    place = root / "recipes/depth.trials.toml"
    place.write_text(place.read_text().replace("cells = [\n", "cells = [\n    { num_layers = 3 },\n"))
    code, said = told(["search", "depth", "--trials", "0"], capsys)
    assert code == 0, said
    assert [line for line in said.splitlines() if line.startswith(".  adapter")] == [".  adapter:depth@num_layers-3"]
    assert locks.read(root / paths.lock("adapters/depth@num_layers-3")).metrics["iterations"] == 2
    assert "best of 3 settings" in said


def test_a_search_that_cannot_go_on_says_why(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    assert "no [search.dept] - did you mean 'depth'?" in told(["search", "dept"], capsys)[1]
    recipe = root / project.RECIPE
    try:
        recipe.write_text(RECIPE.replace("iters = 2", "iters = 3"))
        code, said = told(["search", "depth"], capsys)
        assert (code, "its trials were of another adapter" in said) == (2, True)
        recipe.write_text(RECIPE.replace("search.depth", "search.one"))
        assert "has adapter.one - give the search another name" in told(["search", "one"], capsys)[1]
    finally:
        recipe.write_text(RECIPE)
