"""Trainings that start from the weights of another adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from punie_build.artifacts.arms import has_unknown_data, training_data
from punie_build.artifacts.training import preflight_of
from punie_build.project import Project
from punie_build.training.loop import process
from punie_build.training.spec import Lora
from tests.support.tiny_training import Killed, events, ignore, kill_after, spec, train, train_job

FIRST = spec(iters=4, keep="last")


def continued(inputs: Path, folder: Path, first: Path, adapter, *kills: int) -> dict[str, bytes]:
    job = structs.replace(train_job(inputs, folder, adapter), init=str(first))
    for count in kills:
        with pytest.raises(Killed):
            process.run(job, kill_after(count))
    process.run(job, ignore)
    return {path.name: path.read_bytes() for path in Path(job.out).iterdir()}


@pytest.mark.slow
def test_a_training_starts_from_the_weights_of_another_adapter_and_resumes(inputs, tmp_path):
    before = train(inputs, tmp_path / "first", FIRST)
    second = spec(iters=8, init="first", seed=1)
    after = continued(inputs, tmp_path / "second", tmp_path / "first/out", second)
    assert events(after, "valid")[0]["loss"] == events(before, "valid")[-1]["loss"]
    assert continued(inputs, tmp_path / "killed", tmp_path / "first/out", second, 9) == after


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lora": Lora(rank=4)}, r"lora_a is \(32, 8\), and \(32, 4\) here; .*, and \d+ more"),
        ({"num_layers": 1}, r"is not trained here"),
        ({"lora": Lora(scale=10.0)}, r"its scale is 20, and 10 here"),
    ],
)
def test_weights_of_another_shape_are_refused_by_name(inputs, tmp_path, changes, expected):
    train(inputs, tmp_path / "first", structs.replace(FIRST, iters=1))
    with pytest.raises(
        SystemExit, match=f"punie: init: first does not fit: .*{expected}.* - give both adapters the same layers"
    ):
        continued(inputs, tmp_path / "second", tmp_path / "first/out", spec(init="first", **changes))


RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }
[adapter.first]
base = "nano"
data = "hand-authored"
[adapter.second]
base = "nano"
data = "sample"
init = "first"
[adapter.third]
base = "nano"
data = "sample"
init = "second"
[eval.third]
arm = "third"
suite = "tool-calling"
"""


def test_the_rows_of_every_training_count_as_trained_on(recipes):
    project = Project.load(recipes(RECIPE))
    recipe = project.recipe
    assert [entry.name for entry in training_data(recipe, "third")] == ["sample", "hand-authored"]
    assert not has_unknown_data(recipe, "third")
    tasks = {task.label: task for task in project.tasks}
    assert "adapters/second" in tasks["adapter:third"].inputs
    preflight = preflight_of(recipe.resolve("trained", "first"))
    assert "tool-calling" in tasks[preflight.label].details.suites


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("lora = { rank = 4 }", "adapter:first has another `lora`"),
        ("num_layers = 2", "adapter:first has another `num_layers`"),
        ('fine_tune_type = "dora"', "adapter:first has another `fine_tune_type`"),
        ("lora = { dropout = 0.1 }", None),
    ],
)
def test_an_initial_adapter_of_another_shape_is_a_mistake_of_the_recipe(recipes, change, expected):
    root = recipes(RECIPE.replace('init = "first"\n', f'init = "first"\n{change}\n'))
    if expected is None and Project.load(root):
        return
    with pytest.raises(Exception, match=expected):
        Project.load(root)
