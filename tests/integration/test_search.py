"""`punie-build search`: real trials of a search, and its restarts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from punie_build.cli.main import main
from punie_build.storage import locks, paths
from tests.support import project
from tests.support.doit_runner import doit
from tests.support.project import SAMPLE, create

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


def run(arguments: list[str], capsys) -> tuple[int, str]:
    """Run a command of punie-build; return its exit code and output."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return create(tmp_path_factory.mktemp("search"), RECIPE)


def search_once(root: Path, capsys) -> None:
    """Search, unless a test did so before in this worker."""
    if not (root / "recipes/depth.trials.toml").exists():
        run(["search", "depth", "--trials", "9"], capsys)


def trials(root: Path) -> dict:
    return tomllib.loads((root / "recipes/depth.trials.toml").read_text())["adapter"]["depth"]


@pytest.mark.slow
def test_every_trial_is_an_adapter_and_a_failed_one_is_recorded(root, capsys, monkeypatch, shared_store):
    monkeypatch.chdir(root)
    monkeypatch.setenv("PUNIE_BUILD_STORE", shared_store)
    code, output = run(["search", "depth", "--trials", "9"], capsys)
    assert code == 0, output
    assert "num_layers: 99, and nano has 4 layers" in output
    assert "no new setting in 20 proposals" in output
    assert "best of 2 settings" in output
    table = trials(root)
    assert sorted(cell["num_layers"] for cell in table["cells"]) == [1, 2]
    assert table["failed"] == [{"num_layers": 99}]
    assert table["lora"] == {"rank": 2, "scale": 5.0}
    assert (root / "adapters/depth@num_layers-1/adapters.safetensors").exists()
    assert "adapter:depth@num_layers-1" in doit(root, "list")


@pytest.mark.slow
def test_an_interrupted_trial_is_finished_and_none_is_trained_twice(root, capsys, monkeypatch, shared_store):
    monkeypatch.chdir(root)
    monkeypatch.setenv("PUNIE_BUILD_STORE", shared_store)
    path = root / "recipes/depth.trials.toml"
    search_once(root, capsys)
    path.write_text(path.read_text().replace("cells = [\n", "cells = [\n    { num_layers = 3 },\n"))
    code, output = run(["search", "depth", "--trials", "0"], capsys)
    assert code == 0, output
    assert [line for line in output.splitlines() if line.startswith(".  adapter")] == [".  adapter:depth@num_layers-3"]
    assert locks.read(root / paths.lock("adapters/depth@num_layers-3")).metrics["iterations"] == 2
    assert "best of 3 settings" in output


@pytest.mark.slow
def test_a_search_that_cannot_continue_reports_the_reason(root, capsys, monkeypatch, shared_store):
    monkeypatch.chdir(root)
    monkeypatch.setenv("PUNIE_BUILD_STORE", shared_store)
    search_once(root, capsys)
    assert "no [search.dept] - did you mean 'depth'?" in run(["search", "dept"], capsys)[1]
    recipe = root / project.RECIPE
    try:
        recipe.write_text(RECIPE.replace("iters = 2", "iters = 3"))
        code, output = run(["search", "depth"], capsys)
        assert (code, "its trials were of another adapter" in output) == (2, True)
        recipe.write_text(RECIPE.replace("search.depth", "search.one"))
        assert "has adapter:one - give the search another name" in run(["search", "one"], capsys)[1]
    finally:
        recipe.write_text(RECIPE)
