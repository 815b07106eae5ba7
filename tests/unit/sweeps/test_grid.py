"""Grids: tables with lists of values, expanded to cells, and grids in a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.artifacts.registry import KINDS
from punie_build.engine.task import AnyTask
from punie_build.errors import RecipeError
from punie_build.evaluation.spec import Eval, Sampling
from punie_build.project import Project
from punie_build.sweeps import grid
from tests.support.profiles import examples

TABLE = {
    "base": "nano",
    "data": "d",
    "learning_rate": [1e-3, 2e-3],
    "lora": {"rank": [4, 8], "scale": 5.0},
    "seed": [0, 1],
}
DATA = '[dataset.d]\nsource = { type = "sample" }\n'


def cell_names(table: dict, kind: str = "adapter") -> list[str]:
    """Return the names of the cells that a table expands to."""
    expanded, problems = grid.expand(KINDS[kind], "v1", table, "x: adapter.v1")
    assert not problems
    return [cell.name for cell in expanded.grid.cells]


def mistakes(**table: object) -> list[str]:
    """Return the mistakes of an adapter's table with these fields."""
    expanded, problems = grid.expand(KINDS["adapter"], "v1", {"base": "nano", "data": "d", **table}, "x: adapter.v1")
    assert expanded is None
    return problems


def test_lists_of_values_are_crossed_and_other_values_are_shared():
    expanded, _ = grid.expand(KINDS["adapter"], "v1", TABLE, "x: adapter.v1")
    assert expanded.grid.cells[0].name == "v1@learning_rate-0.001,rank-4,seed-0"
    assert expanded.grid.cells[-1].setting == {"learning_rate": 2e-3, "lora.rank": 8}
    assert (len(expanded.specs), expanded.grid.axes) == (8, ("learning_rate", "lora.rank")), (
        "a seed repeats, it is no axis"
    )
    assert {spec.lora.scale for spec in expanded.specs} == {5.0}
    assert {(spec.learning_rate, spec.lora.rank, spec.seed) for spec in expanded.specs} == {
        (rate, rank, seed) for rate in (1e-3, 2e-3) for rank in (4, 8) for seed in (0, 1)
    }


def test_one_value_in_a_list_is_a_grid_of_one_cell():
    assert cell_names(TABLE | {"learning_rate": [1e-3], "lora": {}, "seed": 0}) == ["v1@learning_rate-0.001"]
    assert not grid.is_grid(
        KINDS["adapter"], {"base": "nano", "data": "d", "hosts": ["a", "b"], "lora": {"keys": ["x.y"]}}
    )
    assert not grid.is_grid(KINDS["stage"], {"from": "d", "filters": [{}]})


def test_a_field_of_list_type_is_an_axis_if_it_holds_lists():
    betas = {"type": "adam", "betas": [[0.9, 0.99], [0.9, 0.999]]}
    table = {"base": "nano", "data": "d", "optimizer": betas, "lora": {"keys": [["self_attn.q_proj"], ["mlp.up_proj"]]}}
    assert cell_names(table) == [
        f"v1@betas-{pair},keys-{key}"
        for pair in ("0.9+0.99", "0.9+0.999")
        for key in ("self_attn.q_proj", "mlp.up_proj")
    ]


def test_tables_are_values_and_may_have_axes_themselves():
    table = {"base": "nano", "data": "d", "optimizer": [{"type": "sgd"}, {"type": "adamw", "weight_decay": [0.0, 0.1]}]}
    assert cell_names(table) == [
        "v1@optimizer-sgd",
        "v1@optimizer-adamw,weight_decay-0",
        "v1@optimizer-adamw,weight_decay-0.1",
    ]


def test_cells_lists_settings_side_by_side():
    table = TABLE | {
        "learning_rate": 1e-4,
        "seed": 0,
        "lora": {},
        "cells": [{"lora": {"rank": 4}}, {"lora": {"rank": [2, 8]}, "learning_rate": 1e-3}],
    }
    assert cell_names(table) == ["v1@rank-4", "v1@rank-2,learning_rate-0.001", "v1@rank-8,learning_rate-0.001"]


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"learning_rate": [1e-3, 0.001]}, ["v1@learning_rate-0.001"]),
        ({"lora": {"scale": [20, 20.0, 5]}}, ["v1@scale-20", "v1@scale-5"]),
        (
            {"fine_tune_type": ["lora", "full"], "lora": {"rank": [4, 8]}},
            ["v1@fine_tune_type-lora,rank-4", "v1@fine_tune_type-lora,rank-8", "v1@fine_tune_type-full,rank-4"],
        ),
    ],
)
def test_cells_with_equal_specs_are_one(table, names):
    assert cell_names({"base": "nano", "data": "d", **table}) == names


def test_ineffective_fields_are_no_part_of_a_setting():
    table = {"base": "nano", "data": "d", "fine_tune_type": ["lora", "full"], "lora": {"rank": [4, 8]}}
    expanded, _ = grid.expand(KINDS["adapter"], "v1", table, "")
    assert expanded.grid.cells[-1].setting == {"fine_tune_type": "full"}
    assert expanded.specs[-1].lora.rank == 8, "the default: equal settings have equal keys"


def test_names_of_cells_are_distinct_and_short():
    twice = {
        "base": "nano",
        "data": "d",
        "warmup": 3,
        "warmup_init": [0.0, 0.1],
        "optimizer": {"type": "adafactor", "relative_step": True, "warmup_init": [True, False]},
    }
    assert "v1@warmup_init-0,optimizer.warmup_init-true" in cell_names(twice)
    long = cell_names(
        {"base": "nano", "data": "d", "lora": {"keys": [[f"self_attn.{x}_proj{n}" for n in range(20)] for x in "qk"]}}
    )
    assert len(set(long)) == 2
    assert max(map(len, long)) < 150
    assert (
        len({name.lower() for name in cell_names({"base": "nano", "data": "d", "lora": {"keys": [["a"], ["A"]]}})}) == 2
    )


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (
            {"learning_rate": [1e-3, "x", 3]},
            ["learning_rate[1]: expected 'float', got 'str'", "learning_rate[2]: expected 'float' <= 1.0"],
        ),
        (
            {"lora": {"rank": [4, 0], "rnk": 1}},
            ["lora.rnk: unknown key - did you mean 'rank'?", "lora.rank[1]: expected 'int' >= 1"],
        ),
        (
            {"optimizer": [{"type": "adamw", "weight_decay": [0, -1]}, {"type": "adan"}]},
            [
                "optimizer[0].weight_decay[1]: expected 'float' >= 0.0",
                "optimizer[1].type: unknown optimizer 'adan' - did you mean 'adam'?",
            ],
        ),
        ({"cells": [{"seed": 1}, {"lora": {"rank": "x"}}]}, ["cells[1].lora.rank: expected 'int', got 'str'"]),
        ({"seed": []}, ["seed: an empty list makes no cells - give it values, or remove it"]),
        ({"seed": [1], "best": 2}, ["best: 2, but there are 1 settings - lower it"]),
        ({"seed": [1], "best": 0}, ["best: expected 'int' >= 1"]),
    ],
)
def test_each_mistake_has_the_location_of_its_value(table, problems):
    assert mistakes(**table) == [f"x: adapter.v1.{line}" for line in problems]


def test_a_mistake_without_a_field_is_reported_once_or_with_its_setting():
    assert mistakes(iters=[3, 4], epochs=[1, 2]) == [
        "x: adapter.v1: iters, epochs and tokens each set the duration - give one of them"
    ]
    assert mistakes(num_layers=[1, 0]) == [
        "x: adapter.v1: with num_layers 0: num_layers 0 adapts no layer - use -1 for all layers"
    ]


def test_fields_that_change_the_tokens_must_be_the_same_in_all_cells():
    [problem] = mistakes(data=["d", "e"])
    assert problem.startswith(
        "x: adapter.v1.data: must be the same in all cells: losses over different tokens cannot be ranked"
    )
    [problem] = mistakes(cells=[{"mask": "all"}])
    assert problem.startswith("x: adapter.v1.cells[0].mask: must be the same in all cells")


def test_too_many_cells_are_counted_and_not_made():
    assert mistakes(seed=list(range(1000)), iters=list(range(1, 1001))) == [
        "x: adapter.v1: its lists make 1,000,000 cells, at most 500 - shorten them, or use a search"
    ]


RATES, RANKS = (
    st.lists(st.sampled_from([1e-4, 1e-3, 0.01]), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)


@pytest.mark.slow
@examples(30)
@given(RATES, RANKS)
def test_cells_are_the_distinct_products_and_a_longer_list_only_adds_some(rates, ranks):
    expanded, _ = grid.expand(
        KINDS["adapter"], "v", {"base": "b", "data": "d", "learning_rate": rates, "lora": {"rank": ranks}}, ""
    )
    assert [(s.learning_rate, s.lora.rank) for s in expanded.specs] == list(
        dict.fromkeys((rate, rank) for rate in rates for rank in ranks)
    )
    extended, _ = grid.expand(
        KINDS["adapter"], "v", {"base": "b", "data": "d", "learning_rate": [*rates, 0.5], "lora": {"rank": ranks}}, ""
    )
    specs = dict(zip([cell.name for cell in extended.grid.cells], extended.specs, strict=True))
    assert all(specs[cell.name] == spec for cell, spec in zip(expanded.grid.cells, expanded.specs, strict=True))


ARMS = """[adapter.v1]
base = "nano"
data = "d"
seed = [0, 1]
learning_rate = [1e-3, 2e-3]
best = 2
gates = [{ metric = "valid_loss", max = 1.0 }]
[comparison.v1]
arms = ["nano", "v1"]
suite = "tool-calling"
[eval.alone]
arm = "v1"
suite = "tool-calling"
max_tokens = 99
[model.small]
adapter = "v1"
bits = 4
"""


def tasks(root: Path) -> dict[str, AnyTask]:
    """Return the tasks of a project by label."""
    return {task.label: task for task in Project.load(root).tasks}


def test_a_grid_as_an_arm_means_its_best_selections_elsewhere_the_first(recipes):
    by_label = tasks(recipes(DATA + ARMS))
    assert by_label["comparison:v1"].spec.arms == ("nano", "v1@1", "v1@2")
    assert by_label["eval:alone"].spec.arm == "v1@1"
    assert {"eval:v1@1@tool-calling", "eval:v1@2@tool-calling", "choice:v1@2", "grid:v1"} <= set(by_label)
    assert by_label["model:small"].inputs == ("adapters/v1@1", "data/d@nano-assistant-2048")
    assert by_label["grid:v1"].target == "reports/v1@grid", "beside a comparison of the same name"
    assert by_label["choice:v1@1"].spec.gates
    assert not by_label["choice:v1@2"].spec.gates
    assert not by_label["adapter:v1@seed-0,learning_rate-0.001"].spec.gates
    assert len([label for label in by_label if label.startswith("tokens:")]) == 1


def test_selections_and_cells_may_be_referenced_by_name(recipes):
    named = ARMS.replace('"v1"]', '"v1@2", "v1@seed-0,learning_rate-0.002"]')
    assert Project.load(recipes(DATA + named)).recipe.entries["comparison", "v1"].spec.arms[1:] == (
        "v1@2",
        "v1@seed-0,learning_rate-0.002",
    )
    with pytest.raises(
        RecipeError,
        match="no base or endpoint or adapter or model or variant or answers is called 'v1@3' - did you mean 'v1@",
    ):
        Project.load(recipes(DATA + ARMS.replace('"v1"]', '"v1@3"]')))
    with pytest.raises(RecipeError, match="an arm occurs twice"):
        Project.load(recipes(DATA + ARMS.replace('"v1"]', '"v1", "v1@1"]')))


def test_a_mistake_in_a_grid_causes_none_in_its_references(recipes):
    with pytest.raises(RecipeError) as caught:
        Project.load(recipes(DATA + ARMS.replace("2e-3", "2").replace('"v1"]', '"v1", "v1@2"]')))
    assert str(caught.value) == "recipes/test.toml: adapter.v1.learning_rate[1]: expected 'float' <= 1.0"


def test_a_grid_takes_its_name_among_the_arms(recipes):
    with pytest.raises(RecipeError, match=r"adapter\.nano: the name is taken by base\.nano"):
        Project.load(recipes(DATA + ARMS.replace("adapter.v1", "adapter.nano")))


SAMPLED = {
    "arm": "nano",
    "suite": "tool-calling",
    "sampling": {"temperature": [0.0, 0.7], "top_p": [0.9, 1.0], "top_k": 5},
}


def test_evals_that_differ_in_ineffective_fields_are_one_cell():
    expanded, problems = grid.expand(KINDS["eval"], "t", SAMPLED, "")
    assert not problems
    assert [cell.name for cell in expanded.grid.cells] == [
        "t@temperature-0,top_p-0.9",
        "t@temperature-0.7,top_p-0.9",
        "t@temperature-0.7,top_p-1",
    ]
    assert expanded.grid.cells[0].setting == {"sampling.temperature": 0.0}
    for serving in ({"max_kv_size": [64, 128]}, {"kv_bits": [4, 8]}, {"draft_tokens": [2, 3]}):
        table = {
            "arm": "nano",
            "suite": "s",
            "engine": "batch" if "max_kv_size" in serving else "server",
            "serving": serving,
        }
        assert len(cell_names(table, "eval")) == (1 if "draft_tokens" in serving else 2)
    assert len(cell_names({"arm": "nano", "suite": "s", "sampling": {"stop": [["a"], ["a", "b"]]}}, "eval")) == 2
    _, problems = grid.expand(KINDS["eval"], "t", SAMPLED | {"arm": ["nano", "v1"]}, "x: eval.t")
    assert problems == [
        (
            "x: eval.t.arm: must be the same in all cells: an eval "
            "runs one suite on one arm - describe a comparison of arms"
        )
    ]


@given(
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.5]),
        top_p=st.sampled_from([0.5, 1.0]),
        top_k=st.integers(0, 3),
        min_p=st.sampled_from([0.0, 0.1]),
        repetition_penalty=st.sampled_from([1.0, 1.1]),
        repetition_context_size=st.integers(19, 21),
    )
)
def test_ineffective_fields_of_an_eval_are_those_that_sampling_resets(sampling):
    assert grid.without_ineffective(Eval(arm="a", suite="s", sampling=sampling)).sampling == sampling.effective()


def test_a_grid_of_evals_needs_its_cells_and_reads_their_scores(recipes):
    text = '[eval.t]\narm = "nano"\nsuite = "tool-calling"\nsampling = { temperature = [0.0, 0.7] }\n'
    by_label = tasks(recipes(text))
    assert tuple(by_label["grid:t"].needs) == ("eval:t@temperature-0", "eval:t@temperature-0.7")
    assert by_label["grid:t"].reads == ("scores.json",)
    assert "answers:nano@tool-calling" in by_label, "greedy as always: shared with every eval of it"


def test_a_preflight_checks_the_suites_of_a_grids_selections(recipes):
    by_label = tasks(recipes(DATA + ARMS))
    assert list(by_label["preflight:d@nano"].details.suites) == ["tool-calling"]
