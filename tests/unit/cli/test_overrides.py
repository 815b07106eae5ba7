"""Entries with other values for one build: names of their own, in a recipe file of their own."""

from __future__ import annotations

import pytest

from punie_build.cli import overrides
from punie_build.errors import UseError
from punie_build.project import Project
from tests.support.command import program
from tests.support.project import DATA_ONLY, create

ADAPTER = """
[adapter.v1]
base = "nano"
data = "clean"
iters = 5
lora = { rank = 4, dropout = 0.1 }
"""


def test_an_override_is_an_entry_of_its_own(tmp_path):
    create(tmp_path, DATA_ONLY + ADAPTER)
    before = Project.load(tmp_path).task("v1").recipe
    labels = overrides.write(tmp_path, ["adapter.v1.lora.rank=8", "adapter.v1.learning_rate=2e-4"])
    assert labels == ["adapter:v1.rank-8.learning_rate-0.0002"]
    project = Project.load(tmp_path)
    spec = project.task(labels[0]).spec
    assert (spec.lora.rank, spec.lora.dropout, spec.learning_rate, spec.iters) == (8, 0.1, 2e-4, 5)
    assert project.task("v1").recipe == before
    assert overrides.write(tmp_path, ["adapter.v1.iters=9"]) == ["adapter:v1.iters-9"]
    assert {"v1", "v1.iters-9", "v1.rank-8.learning_rate-0.0002"} <= {
        task.name for task in Project.load(tmp_path).tasks
    }


def test_a_build_makes_the_derived_artifact_only(tmp_path):
    create(tmp_path, DATA_ONLY)
    assert program(tmp_path, "build", "--set", 'stage.clean.filters=["exact-dedup"]').returncode == 0
    [folder] = [
        path.name for path in (tmp_path / "data").iterdir() if path.is_dir() and path.name not in ("sample", "clean")
    ]
    assert folder.startswith("clean.filters-")
    assert not (tmp_path / "data" / "clean").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("adapter.v1.iters", "not KIND.NAME.FIELD=VALUE"),
        ("iters=3", "not KIND.NAME.FIELD=VALUE"),
        ("adapter.v2.iters=3", "no such table in the recipes - known: v1"),
    ],
)
def test_settings_that_name_nothing_are_refused(tmp_path, setting, message):
    create(tmp_path, DATA_ONLY + ADAPTER)
    with pytest.raises(UseError) as caught:
        overrides.write(tmp_path, [setting])
    assert message in str(caught.value)


def test_a_long_name_is_shortened(tmp_path):
    create(tmp_path, DATA_ONLY + ADAPTER)
    [label] = overrides.write(tmp_path, [f"adapter.v1.description={'x' * 90}"])
    assert len(label) < 30
    assert Project.load(tmp_path).task(label).spec.description == "x" * 90
