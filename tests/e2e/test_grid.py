"""A grid of adapters, with real trainings: ranked, selected from, and extended by one value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from punie_build.sweeps import verify
from tests.support.doit_runner import doit, ran
from tests.support.project import RECIPE, SAMPLE, create

GRID = f"""
{SAMPLE}

[adapter.v1]
base = "nano"
data = "sample"
iters = 2
batch_size = 2
num_layers = 1
max_seq_length = 512
val_batches = 2
lora = {{ rank = 2 }}
learning_rate = [1e-4, 1e-3]
seed = [0, 1]
"""
NEW = {"adapter:v1@learning_rate-0.01,seed-0", "adapter:v1@learning_rate-0.01,seed-1"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, shared_store) -> tuple[Path, str]:
    """The project of the grid, and the output of its first build."""
    root = create(tmp_path_factory.mktemp("grid"), GRID)
    return root, doit(root, PUNIE_BUILD_STORE=shared_store)


def test_a_grid_of_four_cells_is_trained_and_ranked_and_its_best_selected(built):
    root, output = built
    assert len(ran(output)) == 9
    ranking = json.loads((root / "reports/v1@grid/ranking.json").read_text())
    assert [entry["place"] for entry in ranking["places"]] == [1, 2]
    best = ranking["places"][0]["runs"][0]
    assert json.loads((root / "adapters/v1@1/choice.json").read_text())["cell"] == best["cell"]
    for name in ("adapters.safetensors", "adapter_config.json", "metrics.jsonl"):
        assert (root / "adapters/v1@1" / name).read_bytes() == (root / "adapters" / best["cell"] / name).read_bytes()
    assert best["seed"] == 0, "the first seed, not the better one"
    record = root / "adapters/v1@1/choice.json"
    assert not list(verify.choice(root / "adapters/v1@1", None, None))
    text = record.read_text()
    record.write_text(text.replace('"learning_rate": ', '"learning_rate": 9'))
    [difference] = verify.choice(root / "adapters/v1@1", None, None)
    record.write_text(text)
    assert difference.startswith("learning_rate: choice.json 9")
    assert ran(doit(root)) == set()


@pytest.mark.nightly
def test_one_more_value_trains_only_its_cells(built, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(built[0], root)
    place = root / RECIPE
    place.write_text(GRID.replace("1e-3]", "1e-3, 1e-2]"))
    assert ran(doit(root)) == NEW | {"grid:v1", "choice:v1@1"}
    place.write_text(
        GRID.replace("[adapter.v1]", "[adapter.other]")
        .replace("[1e-4, 1e-3]", "[1e-2]")
        .replace("seed = [0, 1]", "seed = 1")
    )
    assert "restored from the store" in doit(root, "adapter:other@learning_rate-0.01"), "cells are shared by grids"
