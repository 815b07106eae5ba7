from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from punie_build.artifacts.graph import tasks

from punie_build.errors import RecipeError
from punie_build.evaluation.scoring import Scored
from punie_build.evaluation.spec import Eval, Sampling
from punie_build.evaluation.statistics import student
from punie_build.recipes.loader import load
from punie_build.reports.html import Page, render
from punie_build.reports.pages.grid import EvalGridPage, eval_settings
from punie_build.reports.section import ArtifactPage
from punie_build.sweeps import grid
from punie_build.sweeps.adapter_ranking import Run, metrics, rank_adapters, summary
from punie_build.sweeps.eval_ranking import rank_evals
from punie_build.sweeps.eval_ranking import summary as tuning_sentence
from tests.support.profiles import examples

ROOT = Path(__file__).parents[3]
TABLE = {
    "base": "nano",
    "data": "d",
    "learning_rate": [1e-3, 2e-3],
    "lora": {"rank": [4, 8], "scale": 5.0},
    "seed": [0, 1],
}
DATA = '[dataset.d]\nsource = { type = "sample" }\n'


def cells(table: dict, kind: str = "adapter") -> list[str]:
    made, problems = grid.expand(kind, "v1", table, "x: adapter.v1")
    assert not problems
    return [cell.name for cell in made.grid.cells]


def mistakes(**table: object) -> list[str]:
    made, problems = grid.expand("adapter", "v1", {"base": "nano", "data": "d", **table}, "x: adapter.v1")
    assert made is None
    return problems


def test_lists_of_values_make_every_cell_and_what_they_share_stays():
    made, _ = grid.expand("adapter", "v1", TABLE, "x: adapter.v1")
    assert made.grid.cells[0].name == "v1@learning_rate-0.001,rank-4,seed-0"
    assert made.grid.cells[-1].setting == {"learning_rate": 2e-3, "lora.rank": 8}
    assert (len(made.specs), made.grid.axes) == (8, ("learning_rate", "lora.rank")), "a seed repeats, it is no axis"
    assert {spec.lora.scale for spec in made.specs} == {5.0}
    assert {(spec.learning_rate, spec.lora.rank, spec.seed) for spec in made.specs} == {
        (rate, rank, seed) for rate in (1e-3, 2e-3) for rank in (4, 8) for seed in (0, 1)
    }


def test_one_value_in_a_list_is_a_grid_of_one_cell_and_no_list_is_none():
    assert cells(TABLE | {"learning_rate": [1e-3], "lora": {}, "seed": 0}) == ["v1@learning_rate-0.001"]
    assert not grid.is_grid("adapter", {"base": "nano", "data": "d", "hosts": ["a", "b"], "lora": {"keys": ["x.y"]}})
    assert not grid.is_grid("stage", {"from": "d", "filters": [{}]})


def test_a_field_that_holds_a_list_varies_where_it_holds_lists():
    betas = {"type": "adam", "betas": [[0.9, 0.99], [0.9, 0.999]]}
    table = {"base": "nano", "data": "d", "optimizer": betas, "lora": {"keys": [["self_attn.q_proj"], ["mlp.up_proj"]]}}
    assert cells(table) == [
        f"v1@betas-{some},keys-{key}"
        for some in ("0.9+0.99", "0.9+0.999")
        for key in ("self_attn.q_proj", "mlp.up_proj")
    ]


def test_tables_are_values_too_and_may_vary_themselves():
    table = {"base": "nano", "data": "d", "optimizer": [{"type": "sgd"}, {"type": "adamw", "weight_decay": [0.0, 0.1]}]}
    assert cells(table) == [
        "v1@optimizer-sgd",
        "v1@optimizer-adamw,weight_decay-0",
        "v1@optimizer-adamw,weight_decay-0.1",
    ]


def test_settings_may_stand_side_by_side():
    table = TABLE | {
        "learning_rate": 1e-4,
        "seed": 0,
        "lora": {},
        "cells": [{"lora": {"rank": 4}}, {"lora": {"rank": [2, 8]}, "learning_rate": 1e-3}],
    }
    assert cells(table) == ["v1@rank-4", "v1@rank-2,learning_rate-0.001", "v1@rank-8,learning_rate-0.001"]


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
def test_cells_that_say_the_same_are_one(table, names):
    assert cells({"base": "nano", "data": "d", **table}) == names


def test_what_does_not_matter_to_a_cell_is_no_part_of_its_setting():
    table = {"base": "nano", "data": "d", "fine_tune_type": ["lora", "full"], "lora": {"rank": [4, 8]}}
    made, _ = grid.expand("adapter", "v1", table, "")
    assert made.grid.cells[-1].setting == {"fine_tune_type": "full"}
    assert made.specs[-1].lora.rank == 8, "the default: equal settings have equal keys"


def test_names_stay_apart_and_short():
    twice = {
        "base": "nano",
        "data": "d",
        "warmup": 3,
        "warmup_init": [0.0, 0.1],
        "optimizer": {"type": "adafactor", "warmup_init": [True, False]},
    }
    assert "v1@warmup_init-0,optimizer.warmup_init-true" in cells(twice)
    long = cells(
        {"base": "nano", "data": "d", "lora": {"keys": [[f"self_attn.{x}_proj{n}" for n in range(20)] for x in "qk"]}}
    )
    assert len(set(long)) == 2
    assert max(map(len, long)) < 150
    assert len({name.lower() for name in cells({"base": "nano", "data": "d", "lora": {"keys": [["a"], ["A"]]}})}) == 2


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"learning_rate": [1e-3, "x", 3]}, ["learning_rate[1]: expected 'float', got 'str'", "learning_rate[2]: expected 'float' <= 1.0"]),
        ({"lora": {"rank": [4, 0], "rnk": 1}}, ["lora.rnk: unknown key - did you mean 'rank'?", "lora.rank[1]: expected 'int' >= 1"]),
        ({"optimizer": [{"type": "adamw", "weight_decay": [0, -1]}, {"type": "adan"}]}, ["optimizer[0].weight_decay[1]: expected 'float' >= 0.0", "optimizer[1].type: unknown optimizer 'adan' - did you mean 'adam'?"]),
        ({"cells": [{"seed": 1}, {"lora": {"rank": "x"}}]}, ["cells[1].lora.rank: expected 'int', got 'str'"]),
        ({"seed": []}, ["seed: an empty list makes no cells - give it values, or remove it"]),
        ({"seed": [1], "best": 2}, ["best: 2, but there are 1 settings - lower it"]),
        ({"seed": [1], "best": 0}, ["best: expected 'int' >= 1"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_value_by_value(table, told):
    assert mistakes(**table) == [f"x: adapter.v1.{line}" for line in told]


def test_a_mistake_of_the_whole_is_told_once_or_with_the_setting_that_has_it():
    assert mistakes(iters=[3, 4], epochs=[1, 2]) == [
        "x: adapter.v1: iters, epochs and tokens each say how long - give one of them"
    ]
    assert mistakes(num_layers=[1, 0]) == [
        "x: adapter.v1: with num_layers 0: num_layers 0 adapts nothing - use -1 for all layers"
    ]


def test_what_losses_cannot_be_compared_over_is_the_same_in_all_cells():
    [told] = mistakes(data=["d", "e"])
    assert told.startswith(
        "x: adapter.v1.data: must be the same in all cells: losses over different tokens cannot be ranked"
    )
    [told] = mistakes(cells=[{"mask": "all"}])
    assert told.startswith("x: adapter.v1.cells[0].mask: must be the same in all cells")


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
def test_the_cells_are_the_distinct_products_and_more_values_only_add(rates, ranks):
    made, _ = grid.expand(
        "adapter", "v", {"base": "b", "data": "d", "learning_rate": rates, "lora": {"rank": ranks}}, ""
    )
    assert [(s.learning_rate, s.lora.rank) for s in made.specs] == list(
        dict.fromkeys((rate, rank) for rate in rates for rank in ranks)
    )
    more, _ = grid.expand(
        "adapter", "v", {"base": "b", "data": "d", "learning_rate": [*rates, 0.5], "lora": {"rank": ranks}}, ""
    )
    specs = dict(zip([cell.name for cell in more.grid.cells], more.specs, strict=True))
    assert all(specs[cell.name] == spec for cell, spec in zip(made.grid.cells, made.specs, strict=True))


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


def test_a_grid_is_an_arm_its_best_choices_are_and_alone_the_first(recipes):
    found = {task.label: task for task in tasks(load(recipes(DATA + ARMS)))}
    assert found["comparison:v1"].spec.arms == ("nano", "v1@1", "v1@2")
    assert found["eval:alone"].spec.arm == "v1@1"
    assert {"eval:v1@1@tool-calling", "eval:v1@2@tool-calling", "choice:v1@2", "grid:v1"} <= set(found)
    assert found["model:small"].inputs == ("adapters/v1@1", "data/d@nano-assistant-2048")
    assert found["grid:v1"].target == "reports/v1@grid", "beside a comparison of the same name"
    assert found["choice:v1@1"].spec.gates
    assert not found["choice:v1@2"].spec.gates
    assert not found["adapter:v1@seed-0,learning_rate-0.001"].spec.gates
    assert len([label for label in found if label.startswith("tokens:")]) == 1


def test_choices_and_cells_may_be_named_and_what_is_not_there_is_told(recipes):
    named = ARMS.replace('"v1"]', '"v1@2", "v1@seed-0,learning_rate-0.002"]')
    assert load(recipes(DATA + named)).artifacts["comparison", "v1"].spec.arms[1:] == (
        "v1@2",
        "v1@seed-0,learning_rate-0.002",
    )
    with pytest.raises(RecipeError, match="no base or adapter or model is called 'v1@3' - did you mean 'v1@"):
        load(recipes(DATA + ARMS.replace('"v1"]', '"v1@3"]')))
    with pytest.raises(RecipeError, match="an arm occurs twice"):
        load(recipes(DATA + ARMS.replace('"v1"]', '"v1", "v1@1"]')))


def test_a_mistake_in_a_grid_invents_none_where_it_is_named(recipes):
    with pytest.raises(RecipeError) as caught:
        load(recipes(DATA + ARMS.replace("2e-3", "2").replace('"v1"]', '"v1", "v1@2"]')))
    assert str(caught.value) == "recipes/test.toml: adapter.v1.learning_rate[1]: expected 'float' <= 1.0"


def test_a_grid_has_the_name_of_an_adapter(recipes):
    with pytest.raises(RecipeError, match=r"adapter\.nano: the name is taken by base\.nano"):
        load(recipes(DATA + ARMS.replace("adapter.v1", "adapter.nano")))


def runs(*losses: tuple[float, ...]) -> list[tuple[dict, Run]]:
    facts = {"valid_loss_start": 2.0, "valid_loss_last": 1.0, "accuracy": 0.5, "best_at": 3, "iterations": 4}
    return [
        ({"rank": number}, Run(cell=f"v@{number},{seed}", seed=seed, valid_loss=loss, **facts))
        for number, some in enumerate(losses)
        for seed, loss in enumerate(some)
    ]


def test_settings_are_ranked_by_the_mean_of_their_seeds():
    found = rank_adapters("v", ["rank"], runs((0.5, 0.7), (0.1, 0.9), (0.55, 0.45)))
    assert [(place.rank, place.setting["rank"], place.low, place.high) for place in found.settings] == [
        (1, 1, 0.1, 0.9),
        (2, 2, 0.45, 0.55),
        (3, 0, 0.5, 0.7),
    ]
    assert found.axes == {"rank": (0, 1, 2)}
    assert metrics(found) == {"valid_loss": 0.5, "range": 0.8, "settings": 3, "cells": 6, "level": 3}


def test_what_cannot_be_told_from_the_best_is_marked_and_one_seed_tells_nothing():
    found = rank_adapters("v", ["rank"], runs((0.50, 0.52, 0.51), (0.51, 0.515, 0.50), (0.9, 0.93, 0.91)))
    assert [place.worse for place in found.settings] == [False, False, True]
    assert "1 others are not significantly worse" in summary(found)
    alone = rank_adapters("v", ["rank"], runs((0.5,), (0.9,)))
    assert (alone.noise, [place.p for place in alone.settings]) == (None, [None, None])
    assert "one seed per setting gives no estimate of chance" in summary(alone)


def test_what_a_seed_does_to_all_settings_is_no_doubt_about_them():
    """Seed 1 is a bad one for everybody: the settings still differ by 0.1."""
    found = rank_adapters("v", ["rank"], runs((0.5, 0.9, 0.6), (0.6, 1.001, 0.699)))
    assert found.settings[1].worse
    apart = runs((0.5, 0.9, 0.6), (0.6, 1.001, 0.699))
    other = [
        (
            setting,
            run
            if setting["rank"]
            else Run(**{f: getattr(run, f) for f in run.__struct_fields__} | {"seed": run.seed + 9}),
        )
        for setting, run in apart
    ]
    assert not rank_adapters("v", ["rank"], other).settings[1].worse, "other seeds: nothing to take out"


def test_effects_are_means_over_whatever_else_there_is():
    facts = {
        "seed": None,
        "valid_loss_start": 2.0,
        "valid_loss_last": 1.0,
        "accuracy": 0.5,
        "best_at": 3,
        "iterations": 4,
    }
    table = {("a", 1): 1.0, ("a", 2): 2.0, ("b", 1): 3.0, ("b", 2): 6.0}
    some = [({"x": x, "y": y}, Run(cell=f"{x}{y}", valid_loss=loss, **facts)) for (x, y), loss in table.items()]
    found = rank_adapters("v", ["x", "y"], some)
    assert [(e.value, e.mean, e.low, e.high, e.settings) for e in found.effects["x"]] == [
        ("a", 1.5, 1.0, 2.0, 2),
        ("b", 4.5, 3.0, 6.0, 2),
    ]
    assert [(e.value, e.mean) for e in found.effects["y"]] == [(1, 2.0), (2, 4.0)]


@given(st.lists(st.lists(st.floats(0.1, 9), min_size=2, max_size=2), min_size=1, max_size=5))
def test_the_order_of_cells_changes_no_place(losses):
    some = runs(*map(tuple, losses))
    means = [place.mean for place in rank_adapters("v", ["rank"], some).settings]
    assert means == sorted(means)
    assert [place.mean for place in rank_adapters("v", ["rank"], some[::-1]).settings] == pytest.approx(means)


@pytest.mark.parametrize(("free", "t"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (30, 2.04227)])
def test_student_is_the_textbooks(free, t):
    assert student(t, free) == pytest.approx(0.05, abs=1e-5)
    assert student(0.0, free) == 1.0


SAMPLED = {
    "arm": "nano",
    "suite": "tool-calling",
    "sampling": {"temperature": [0.0, 0.7], "top_p": [0.9, 1.0], "top_k": 5},
}


def test_an_evals_lists_make_evals_and_what_greedy_answers_do_not_feel_is_asked_once():
    made, problems = grid.expand("eval", "t", SAMPLED, "")
    assert not problems
    assert [cell.name for cell in made.grid.cells] == [
        "t@temperature-0,top_p-0.9",
        "t@temperature-0.7,top_p-0.9",
        "t@temperature-0.7,top_p-1",
    ]
    assert made.grid.cells[0].setting == {"sampling.temperature": 0.0}
    for serving in ({"max_kv_size": [64, 128]}, {"kv_bits": [4, 8]}, {"draft_tokens": [2, 3]}):
        table = {
            "arm": "nano",
            "suite": "s",
            "engine": "batch" if "max_kv_size" in serving else "server",
            "serving": serving,
        }
        assert len(cells(table, "eval")) == (1 if "draft_tokens" in serving else 2)
    assert len(cells({"arm": "nano", "suite": "s", "sampling": {"stop": [["a"], ["a", "b"]]}}, "eval")) == 2
    _, told = grid.expand("eval", "t", SAMPLED | {"arm": ["nano", "v1"]}, "x: eval.t")
    assert told == [
        "x: eval.t.arm: must be the same in all cells: an eval runs one suite on one arm - describe a comparison of arms"
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
def test_what_does_not_matter_to_an_eval_is_what_has_no_effect(sampling):
    assert (
        grid.without_ineffective("eval", Eval(arm="a", suite="s", sampling=sampling)).sampling == sampling.effective()
    )


def test_an_evals_grid_is_in_the_graph(recipes):
    text = '[eval.t]\narm = "nano"\nsuite = "tool-calling"\nsampling = { temperature = [0.0, 0.7] }\n'
    found = {task.label: task for task in tasks(load(recipes(text)))}
    assert found["grid:t"].needs == ("eval:t@temperature-0", "eval:t@temperature-0.7")
    assert found["grid:t"].reads == ("scores.json",)
    assert "answers:nano@tool-calling" in found, "greedy as always: shared with every eval of it"


def scored(passes: str, sides: str) -> list[Scored]:
    return [
        Scored(case=str(n), category="c", score=0.0, passes=int(one), split={"s": "select", "c": "confirm"}[side])
        for n, (one, side) in enumerate(zip(passes, sides, strict=True))
    ]


def test_settings_are_chosen_on_some_cases_and_the_winner_confirmed_on_others():
    sides = "s" * 10 + "c" * 5
    found = rank_evals(
        "t",
        ["x"],
        [
            ("a", {"x": 1}, scored("1" * 5 + "0" * 5 + "1" * 5, sides)),
            ("b", {"x": 2}, scored("1" * 9 + "0" + "10000", sides)),
            ("c", {"x": 3}, scored("0" * 15, sides)),
        ],
    )
    assert [(place.cell, place.select.share) for place in found.settings] == [("b", 0.9), ("a", 0.5), ("c", 0.0)]
    assert found.confirmed.share == pytest.approx(0.2), "not the 90 % that chose it"
    assert [place.worse for place in found.settings] == [False, False, True]
    assert [(effect.value, effect.mean) for effect in found.effects["x"]] == [(1, 0.5), (2, 0.9), (3, 0.0)]
    assert "x 2, 90% of 10 cases; 1 others are not significantly worse; on 5 other cases 20%" in tuning_sentence(found)


def test_the_page_of_an_evals_grid_shows_each_setting_and_that_of_adapters_has_no_such_part(recipes):
    [task] = [
        t
        for t in tasks(load(recipes('[eval.t]\narm = "nano"\nsuite = "tool-calling"\nmax_tokens = [8, 9]\n')))
        if t.kind == "grid"
    ]
    cells = [("t@<i>", {"stop": ["<i>"]}, scored("10", "sc")), ("t@b", {"stop": ["b"]}, scored("00", "sc"))]
    shown = EvalGridPage(task=task, lock=None, ranking=rank_evals("t", ["stop"], cells), links={"t@b": "eval-b.html"})
    page = render(Page(title="t", label="grid", sections=(eval_settings(shown),)))
    assert "&lt;i&gt;" in page
    assert "<i>" not in page
    assert 'href="eval-b.html"' in page
    assert eval_settings(ArtifactPage(task=task, lock=None)) is None


def test_a_preflight_knows_the_suites_that_the_best_of_a_grid_are_asked(recipes):
    found = {task.label: task for task in tasks(load(recipes(DATA + ARMS)))}
    assert list(found["preflight:d@nano"].config["suites"]) == ["tool-calling"]


def test_a_winner_on_the_cases_that_chose_it_is_said_to_look_too_good():
    found = rank_evals("t", [], [("a", {}, scored("110", "ccc"))])
    assert (found.confirmed, found.settings[0].select.cases) == (None, 3)
    assert "so it is biased" in tuning_sentence(found)
