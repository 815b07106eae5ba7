"""The commands `train`, `benchmark` and `metrics`, with real trainings of nano."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.command import punie_build

ROW = {"messages": [{"role": "user", "content": "Say %d"}, {"role": "assistant", "content": "It is %d."}]}
RECIPE = """
[dataset.d]
source = { type = "local", path = "chats" }
split = { valid = 0.2, test = 0.0 }

[adapter.v1]
base = "nano"
data = "d"
iters = 40
steps_per_eval = 10
num_layers = 1
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("hand")
    (project / "recipes").mkdir()
    (project / "recipes" / "r.toml").write_text(RECIPE)
    (project / "chats").mkdir()
    rows = (json.dumps(ROW).replace("%d", f"thing number {'abcdefghijklmnopqrstuvwxyz'[n]}") for n in range(26))
    (project / "chats" / "rows.jsonl").write_text("\n".join(rows))
    return project


TRAIN = ("train", "chats", "--model", "nano", "-o", "out", "-i", "2", "-b", "2", "-lr", "1e-3", "--num-layers", "1")


@pytest.mark.slow
def test_training_on_a_folder_gives_an_adapter_and_a_second_run_resumes(root):
    process = punie_build(root, *TRAIN, "--lora-rank", "2", "--set", "lora.scale = 5.0")
    assert process.returncode == 0, process.stderr
    assert re.search(r"\d+ rows, [\d.]+ epochs, validation loss [\d.]+ -> [\d.]+", process.stdout)
    config = json.loads((root / "out/adapter_config.json").read_text())
    assert config["lora_parameters"] == {"rank": 2, "scale": 5.0, "dropout": 0.0}
    assert {path.name for path in (root / "out").iterdir()} == {
        "adapters.safetensors",
        "adapter_config.json",
        "metrics.jsonl",
    }
    assert "--adapter-path out" in process.stderr
    assert "lora = { rank = 2, scale = 5.0 }" in process.stderr
    before = (root / "out/adapters.safetensors").read_bytes()
    second = punie_build(root, *TRAIN, "--lora-rank", "2", "--set", "lora.scale = 5.0")
    assert "resumed after 2" in second.stdout
    assert (root / "out/adapters.safetensors").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--lora-rank", "0"), "train.lora.rank: expected 'int' >= 1"),
        (("--set", "lora.rnak = 3"), "train.lora.rnak: unknown key - did you mean 'rank'?"),
        (("--set", "lora"), "--set lora: not TOML"),
        (
            ("--model", "nanno"),
            "--model nanno: no base of this name, and no folder with a model - did you mean 'nano'?",
        ),
        (("--model", "org/name@main"), "--model org/name@main.revision"),
        (("-o", "chats"), "chats: the folder exists and was not written by punie-build - choose another --output"),
        (("--num-layers", "99"), "num_layers 99: the base has 4 layers"),
    ],
)
def test_an_impossible_training_is_an_error_and_writes_no_folder(root, arguments, expected):
    process = punie_build(root, *TRAIN, "-o", "none", *arguments)
    assert (process.returncode, expected in process.stderr) == (2, True), process.stderr
    assert not (root / "none").exists()


@pytest.mark.slow
def test_a_benchmark_prints_time_tokens_and_memory(root):
    checkpoints = set((root / ".punie/training").glob("*"))
    process = punie_build(root, "benchmark", "nano", "--recipe", "adapter:v1", "--iters", "3")
    assert process.returncode == 0, process.stderr
    match = re.search(
        r"([\d.]+) s per iteration, ([\d,]+) tokens/s over 3 iterations; "
        r"peak memory of the training ([\d.]+) GiB in mlx, ([\d.]+) GiB in all",
        process.stdout,
    )
    assert match, process.stdout
    seconds, tokens, mlx, resident = (float(each.replace(",", "")) for each in match.groups())
    assert min(seconds, tokens, mlx) > 0
    assert 0.05 < resident < 4, "GiB of the training process, not of this one"
    assert re.search(r"adapter:v1: 40 batches, .*: about .*, .* of it for 5 validations", process.stdout)
    assert set((root / ".punie/training").glob("*")) == checkpoints, "no checkpoint of the benchmark remains"
    refused = punie_build(root, "benchmark", "nano", "--recipe", "dataset:d")
    assert "--recipe dataset:d: not an adapter" in refused.stderr


@pytest.mark.slow
def test_a_log_of_mlx_lm_is_printed_as_events(root):
    (root / "old.log").write_text(
        "Iter 1: Val loss 4.439, Val took 1.286s\nIter 4: Train loss 2.879, Learning Rate 1.000e-03\n"
    )
    process = punie_build(root, "metrics", "old.log")
    assert [json.loads(line) for line in process.stdout.splitlines()] == [
        {"event": "valid", "iteration": 0, "loss": 4.439},
        {"event": "train", "iteration": 4, "loss": 2.879, "learning_rate": 1e-3},
    ]
    assert "recipes/r.toml: no line with a loss" in punie_build(root, "metrics", "recipes/r.toml").stderr
    assert punie_build(root, "metrics", "gone.log").returncode == 2
