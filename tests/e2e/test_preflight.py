"""A preflight in a project: `plan` shows its findings, and the build stops before the training."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import punie_build
from tests.support.conversation_rows import correct_rows, row, write_jsonl
from tests.support.doit_runner import doit, ran
from tests.support.project import RECIPE, create

TEXT = """
[dataset.mine]
source = { type = "local", path = "raw" }

[adapter.v1]
base = "nano"
data = "mine"
iters = 2
steps_per_eval = 2
batch_size = 2
val_batches = 1
num_layers = 9

[adapter.v2]
base = "nano"
data = "mine"
iters = 30
steps_per_eval = 30
batch_size = 8
"""


def plan(project: Path, code: int) -> str:
    """Run `punie-build plan`, which must exit with `code`, and return its output."""
    done = punie_build(project, "plan")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_plan_shows_all_findings_and_the_build_stops_before_training(tmp_path):
    root = create(tmp_path, TEXT)
    recipe = root / RECIPE
    (root / "raw").mkdir()
    write_jsonl(root / "raw/train.jsonl", [*correct_rows(40), row(70, answer="Done.<|endoftext|>")])
    write_jsonl(root / "raw/valid.jsonl", correct_rows(6, 800))
    output = plan(root, code=2)
    assert "error[layers] recipes/project.toml: adapter.v1.num_layers: 9, and nano has 4 layers - at most 4" in output
    assert "not checked, because not built yet: data/mine" in output
    doit(root, "dataset:mine")
    output = plan(root, code=2)
    assert "error[markers] data/mine" in output
    assert output.count("error[markers]") == 1, "both adapters learn these rows"
    assert "2 errors" in output
    assert {path.name for path in (root / "data").iterdir() if path.is_dir()} == {"mine"}, "a plan builds nothing"
    output = doit(root, "--continue", "adapter:v1", "adapter:v2", code=1)
    assert "restored from the store" in output, "the build reuses the result of the plan"
    assert "adapter.v1.num_layers: 9" in output
    assert 'allow = ["layers", "markers"]' in output
    assert not (root / "adapters").exists()
    output = plan(root, code=2)
    assert "batches, 30 updates" in output, "the tokens are there by now"
    recipe.write_text(
        TEXT.replace("batch_size = 8", "batch_size = 8\nallow = { markers = 0.3 }").replace(
            "num_layers = 9", "allow = ['markers']"
        )
    )
    assert "errors" not in plan(root, code=1)
    assert "adapter:v1" in ran(doit(root, "adapter:v1"))
    recipe.write_text(recipe.read_text().replace("allow = ['markers']", ""))
    assert ran(doit(root, "adapter:v1")) == set(), "`allow` does not enter the key"
