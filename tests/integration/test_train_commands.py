from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def punie_build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from punie_build.cli.main import main; main()", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done


TRAIN = ("train", "chats", "--model", "nano", "-o", "out", "-i", "2", "-b", "2", "-lr", "1e-3", "--num-layers", "1")


@pytest.mark.slow
def test_a_folder_of_conversations_becomes_an_adapter_and_again_it_goes_on(root):
    done = punie_build(root, *TRAIN, "--lora-rank", "2", "--set", "lora.scale = 5.0")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ rows, [\d.]+ epochs, validation loss [\d.]+ -> [\d.]+", done.stdout)
    config = json.loads((root / "out/adapter_config.json").read_text())
    assert config["lora_parameters"] == {"rank": 2, "scale": 5.0, "dropout": 0.0}
    assert {path.name for path in (root / "out").iterdir()} == {
        "adapters.safetensors",
        "adapter_config.json",
        "metrics.jsonl",
    }
    assert "--adapter-path out" in done.stderr
    assert "lora = { rank = 2, scale = 5.0 }" in done.stderr
    before = (root / "out/adapters.safetensors").read_bytes()
    again = punie_build(root, *TRAIN, "--lora-rank", "2", "--set", "lora.scale = 5.0")
    assert "resumed after 2" in again.stdout
    assert (root / "out/adapters.safetensors").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--lora-rank", "0"), "train.lora.rank: expected 'int' >= 1"),
        (("--set", "lora.rnak = 3"), "train.lora.rnak: unknown key - did you mean 'rank'?"),
        (("--set", "lora"), "--set lora: not TOML"),
        (("--model", "nanno"), "--model nanno: no base is called so, and no model's folder - did you mean 'nano'?"),
        (("--model", "org/name@main"), "--model org/name@main.revision"),
        (("-o", "chats"), "chats: there is something else - name another folder for --output"),
        (("--num-layers", "99"), "num_layers 99: the base has 4 layers"),
    ],
)
def test_what_cannot_be_trained_is_told_and_nothing_is_written(root, more, told):
    done = punie_build(root, *TRAIN, "-o", "none", *more)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert not (root / "none").exists()


@pytest.mark.slow
def test_a_benchmark_tells_seconds_tokens_and_the_memory_of_the_training(root):
    kept = set((root / ".punie/training").glob("*"))
    done = punie_build(root, "benchmark", "nano", "--recipe", "adapter:v1", "--iters", "3")
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"([\d.]+) s per iteration, ([\d,]+) tokens/s over 3 iterations; peak memory of the training ([\d.]+) GiB in mlx, ([\d.]+) GiB in all",
        done.stdout,
    )
    assert found, done.stdout
    seconds, tokens, mlx, whole = (float(each.replace(",", "")) for each in found.groups())
    assert min(seconds, tokens, mlx) > 0
    assert 0.05 < whole < 4, "of a process that has mlx in it, and not of this one"
    assert re.search(r"adapter:v1: 40 batches, .*: about .*, .* of it for 5 validations", done.stdout)
    assert set((root / ".punie/training").glob("*")) == kept, "nothing of it stays"
    wrong = punie_build(root, "benchmark", "nano", "--recipe", "dataset:d")
    assert "--recipe dataset:d: not an adapter" in wrong.stderr


@pytest.mark.slow
def test_a_log_of_mlx_lm_is_printed_as_events(root):
    (root / "old.log").write_text(
        "Iter 1: Val loss 4.439, Val took 1.286s\nIter 4: Train loss 2.879, Learning Rate 1.000e-03\n"
    )
    done = punie_build(root, "metrics", "old.log")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"event": "valid", "iteration": 0, "loss": 4.439},
        {"event": "train", "iteration": 4, "loss": 2.879, "learning_rate": 1e-3},
    ]
    assert "recipes/r.toml: no loss in it" in punie_build(root, "metrics", "recipes/r.toml").stderr
    assert punie_build(root, "metrics", "gone.log").returncode == 2
