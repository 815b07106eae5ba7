"""Defaults of a project, short forms, and names of mlx-lm in recipes."""

from __future__ import annotations

import pytest

from punie_build.errors import RecipeError
from punie_build.project import Project

DATA = """
[dataset.rows]
source = { type = "sample", max_examples = 60 }
"""
DEFAULTS = """
[defaults.adapter]
iters = 7
lora = { rank = 4, dropout = 0.1 }
optimizer = { type = "adamw", weight_decay = 0.5 }
"""
ADAPTERS = """
[adapter.a]
base = "nano"
data = "rows"

[adapter.b]
base = "nano"
data = "rows"
iters = 9
lora = { rank = 2 }
optimizer = "sgd"
"""


def test_defaults_complete_tables_and_tables_inside_them(recipes):
    specs = {
        task.name: task.spec
        for task in Project.load(recipes(DATA + ADAPTERS + DEFAULTS)).tasks
        if task.kind.name == "adapter"
    }
    a, b = specs["a"], specs["b"]
    assert (a.iters, a.lora.rank, a.lora.dropout, a.optimizer.weight_decay) == (7, 4, 0.1, 0.5)
    assert (b.iters, b.lora.rank, b.lora.dropout) == (9, 2, 0.1)
    assert type(b.optimizer).__name__ == "Sgd"
    assert b.optimizer.weight_decay == 0


def test_defaults_leave_no_trace_in_entries_without_them(recipes):
    with_values = ADAPTERS.split("[adapter.b]", maxsplit=1)[0] + DEFAULTS.replace("[defaults.adapter]\n", "")
    explicit = Project.load(recipes(DATA + with_values)).task("a").recipe
    assert explicit == Project.load(recipes(DATA + ADAPTERS + DEFAULTS)).task("a").recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[defaults.adaptr]\niters = 1", "defaults.adaptr: unknown kind of artifact - did you mean 'adapter'?"),
        ("[defaults]\nadapter = 3", "defaults.adapter: not a table"),
        ("[defaults.adapter]\niterss = 1", "defaults.adapter.iterss: unknown key - did you mean 'iters'?"),
        ("[defaults.adapter]\niters = 'x'", "defaults.adapter.iters: expected"),
        ("[adapter.c]\nbase = 'nano'\ndata = 'rows'\nlora_parameters = {}", "unknown key - write lora = {"),
        ("[adapter.c]\nbase = 'nano'\ndata = 'rows'\noptimizer = 'adamx'", "unknown optimizer 'adamx'"),
        ("[adapter.c]\nbase = 'nano'\ndata = 'rows'\nmask_prompt = true", 'write mask = "last"'),
    ],
)
def test_mistakes_are_named(recipes, text, expected):
    with pytest.raises(RecipeError) as caught:
        Project.load(recipes(DATA + text))
    assert expected in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_two_files_do_not_set_the_same_default(recipes):
    root = recipes(DATA + DEFAULTS)
    (root / "recipes" / "other.toml").write_text("[defaults.adapter]\niters = 8\n")
    with pytest.raises(RecipeError, match=r"defaults\.adapter\.iters: recipes/other\.toml sets it too - keep one"):
        Project.load(root)
