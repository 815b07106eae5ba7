"""A complete project, built by doit: real training and a real server of nano, on a few rows."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from punie_build.models.safetensors import read_header
from tests.kills.builds import wrong_files
from tests.support.command import punie_build
from tests.support.doit_runner import doit, ran
from tests.support.project import create, edit

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[stage.en]
from = "sample"
filters = [{ type = "language", languages = ["en"] }, { type = "min-messages", messages = 2 }]

[mix.all]
from = ["en", "hand-authored"]

[adapter.tiny]
base = "nano"
data = "all"
iters = 4
batch_size = 2
max_seq_length = 512
val_batches = 2
learning_rate = 1e-3
num_layers = 2
lora = { rank = 4, scale = 5.0, dropout = 0.1 }
steps_per_report = 2
steps_per_eval = 2

[suite.few]
file = "few.toml"

[comparison.tiny]
arms = ["nano", "tiny"]
suite = "few"
"""
FOLDERS = ("data", "adapters", "reports")
SUITE = """
tools = "editor"
[[case]]
id = "read"
category = "read_file"
prompt = "Show me notes.txt"
checks = [{ type = "calls", calls = [{ name = "read_file", arguments = { path = "notes.txt" } }] }]
[[case]]
id = "hello"
category = "words"
prompt = "Hello"
checks = [{ type = "no-call" }, { type = "keywords", words = ["hello"] }]
"""


@pytest.fixture(scope="module")
def first_build(tmp_path_factory) -> tuple[Path, str]:
    """The built project, and the output of its first build, which runs two tasks at a time."""
    project = create(tmp_path_factory.mktemp("project"), RECIPE, {"few.toml": SUITE})
    return project, doit(project, "-n", "2")


@pytest.fixture(scope="module")
def built(first_build) -> Path:
    return first_build[0]


ALL = {
    "dataset:sample",
    "stage:en",
    "dataset:hand-authored",
    "mix:all",
    "tokens:all@nano-assistant-512",
    "preflight:all@nano",
    "adapter:tiny",
    "answers:nano@few",
    "answers:tiny@few",
    "eval:nano@few",
    "eval:tiny@few",
    "comparison:tiny",
}


def test_doit_builds_everything_from_recipe_to_report(first_build):
    project, output = first_build
    assert ran(output) == ALL
    page = (project / "reports/comparison-tiny.html").read_text()
    assert "By category" in page
    assert "Data lineage" in page
    assert "<polyline" in page
    scores = [json.loads((project / f"reports/{arm}@few/scores.json").read_text()) for arm in ("nano", "tiny")]
    assert scores[0]["canary"] == scores[1]["base_canary"] != scores[1]["canary"]
    lines = (project / "adapters/tiny/metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["iteration"] for e in events if e["event"] == "valid"] == [0, 2, 4]
    assert events[-1]["event"] == "end"
    assert events[-1]["valid_loss"] < next(e for e in events if e["event"] == "valid")["loss"]


def test_the_adapter_matches_its_recipe(built):
    tensors = read_header(built / "adapters/tiny/adapters.safetensors")
    assert {t["shape"][-1] for name, t in tensors.items() if name.endswith("lora_a")} == {4}
    assert {name.split(".layers.")[1].split(".")[0] for name in tensors} == {"2", "3"}
    config = json.loads((built / "adapters/tiny/adapter_config.json").read_text())
    assert config["lora_parameters"] == {"rank": 4, "scale": 5.0, "dropout": 0.1}


def test_a_second_build_and_one_after_a_comment_run_no_task(project):
    assert ran(doit(project)) == set()
    edit(project, "[adapter.tiny]", "# a remark\n[adapter.tiny]\ndescription = 'a remark too'")
    assert ran(doit(project)) == set()


def test_a_changed_hyperparameter_rebuilds_and_changed_back_restores(project):
    before = (project / "adapters/tiny/adapters.safetensors").read_bytes()
    edit(project, "learning_rate = 1e-3", "learning_rate = 2e-3")
    assert ran(doit(project)) == {"adapter:tiny", "answers:tiny@few", "eval:tiny@few", "comparison:tiny"}
    assert (project / "adapters/tiny/adapters.safetensors").read_bytes() != before
    edit(project, "learning_rate = 2e-3", "learning_rate = 1e-3")
    assert "restored from the store" in doit(project, "adapter:tiny")
    assert (project / "adapters/tiny/adapters.safetensors").read_bytes() == before


def test_a_filter_that_changes_no_row_stops_at_its_stage(project):
    edit(
        project,
        'type = "min-messages", messages = 2',
        'type = "min-messages", messages = 1 }, { type = "ends-with-assistant"',
    )
    rerun = ran(doit(project))
    assert "stage:en" in rerun
    assert rerun <= {"stage:en", "mix:all", "comparison:tiny"}


def test_list_shows_every_artifact_with_its_description(project):
    output = doit(project, "list")
    assert all(label in output for label in ALL)
    assert "sample filtered by language, min-messages" in output
    assert "LoRA of nano on all, rank 4, 4 iterations" in output


def test_recipe_mistakes_exit_with_3_and_no_traceback(project):
    edit(project, 'type = "language"', 'type = "langauge"')
    output = doit(project, code=3)
    assert (
        "recipes/project.toml: stage.en.filters[0].type: unknown filter 'langauge' - did you mean 'language'?" in output
    )


def test_bad_data_fails_its_own_artifact_only(project):
    (project / "mine.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\noops\n')
    edit(project, "[stage.en]", '[dataset.mine]\nsource = { type = "local", path = "mine.jsonl" }\n\n[stage.en]')
    output = doit(project, code=1)
    assert "mine.jsonl:2: not JSON" in output
    assert (project / "reports/comparison-tiny.html").exists()
    assert not (project / "data/mine").exists()


def test_an_impossible_training_fails_before_it_starts(project):
    edit(project, "num_layers = 2", "num_layers = 99")
    assert "num_layers: 99, and nano has 4 layers" in doit(project, "adapter:tiny", code=1)
    edit(project, "num_layers = 99", "num_layers = 2")
    edit(project, "dropout = 0.1 }", 'dropout = 0.1, keys = ["self_attn.x"] }')
    assert "no layer of nano has a module 'self_attn.x'" in doit(project, "adapter:tiny", code=1)


def forget(project: Path) -> None:
    """Remove adapters, answers and reports, the store and all cached answers: the next build trains and serves."""
    doit(project, "clean", *sorted(label for label in ALL if label.startswith(("ad", "an", "ev", "co"))))
    for name in ("store", "answers"):
        shutil.rmtree(project / ".punie" / name)
    assert not [path for path in files_of_targets(project) if path.parts[0] != "data"]


def files_of_targets(project: Path) -> dict[Path, bytes]:
    """Return every file of every target. Locks hold the duration of the build, so they differ."""
    files = (path for folder in FOLDERS for path in (project / folder).glob("*/*"))
    return {path.relative_to(project): path.read_bytes() for path in files}


def process_ids(pattern: str) -> list[str]:
    return subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()


def wait_for(condition, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep")
def test_parallel_builds_killed_in_training_and_serving_resume_to_the_same_bytes(project):
    before = files_of_targets(project)
    forget(project)
    for child in (f"punie_build.training.loop.process {project}", f"punie_build.evaluation.server_process .*{project}"):
        build = subprocess.Popen(
            [sys.executable, "-m", "doit", "-n", "2"],
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda child=child: process_ids(child))
        time.sleep(1)
        build.kill()
        build.wait()
        wait_for(lambda: not process_ids(str(project)), 10)
        assert wrong_files(project, {path.as_posix(): content for path, content in before.items()}) == []
    doit(project)
    assert files_of_targets(project) == before, "a build of one task at a time gives the bytes of the parallel one"
    assert ran(doit(project)) == set()


def test_check_reports_current_and_stale_artifacts(project):
    def check(*options: str) -> subprocess.CompletedProcess[str]:
        return punie_build(project, "check", *options)

    assert check().returncode == 0
    assert check("--outputs", "--conformance").stdout.splitlines() == [
        "recipes: 12 current",
        "outputs: 12 current",
        "conformance: 12 current",
    ]
    for top in FOLDERS:
        for folder in (project / top).iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    assert check().stdout == "recipes: 12 current\n"
    edit(project, "iters = 4", "iters = 9")
    assert check().returncode == 1
    assert "recipe.iters: 4 -> 9" in check().stdout
    edit(project, "iters = 9", "itres = 9")
    assert check().returncode == 3
    assert "did you mean 'iters'?" in check().stderr


def test_why_prints_the_planned_builds_and_the_changes(project):
    def why(target: str) -> subprocess.CompletedProcess[str]:
        return punie_build(project, "why", target)

    assert why("comparison:tiny").stdout == "comparison:tiny and all that it needs are current\n"
    edit(project, "learning_rate = 1e-3", "learning_rate = 2e-3")
    process = why("adapter:tiny")
    assert process.returncode == 1
    assert "adapter:tiny: out of date: recipe, code, inputs or tools changed - RUN," in process.stdout
    assert "    recipe.learning_rate: 0.001 -> 0.002\n" in process.stdout
    edit(project, "learning_rate = 2e-3", "learning_rate = 1e-3")
    shutil.rmtree(project / "adapters/tiny")
    assert "adapter:tiny: not built - RESTORE" in why("comparison:tiny").stdout
    assert "did you mean 'adapter:tiny'?" in why("adapter:tinny").stderr


def test_changed_statistics_beside_the_rows_retrain_no_adapter(project):
    path = project / "data/all/stats.json"
    lock = json.loads((project / "data/all.lock.json").read_text())
    path.write_text(path.read_text().replace('"messages"', '"messages_"'))
    lock["outputs"]["stats.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (project / "data/all.lock.json").write_text(json.dumps(lock))
    assert ran(doit(project, "adapter:tiny")) <= {"mix:all"}  # the store has other statistics: they are restored


def test_check_enforces_a_gate_and_a_gate_rebuilds_no_artifact(project):
    edit(project, 'suite = "few"\n', 'suite = "few"\ngates = [{ metric = "tiny.share", min = 1.1 }]\n')
    process = punie_build(project, "check", "--gate")
    assert process.returncode == 2
    assert "gate 'tiny.share':" in process.stdout
    edit(project, "min = 1.1", "min = 0.0")
    assert punie_build(project, "check", "--gate").returncode == 0
    assert ran(doit(project)) == set()
