"""Model cards, the notes of people in them, and their upload to the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from msgspec import structs

from punie_build.artifacts.grid import SELECTION
from punie_build.engine import build, card_notes, state
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.evaluation import statistics
from punie_build.project import Project
from punie_build.reports import draw
from punie_build.storage import digests, paths, store
from punie_build.testing.fake_hub import TOKEN, FakeHub
from tests.support import sample_project
from tests.support.command import punie_build
from tests.support.text_tasks import with_step

NOTES = "It is meant for editors.\n\n- not for poems"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    text = sample_project.RECIPE + sample_project.GRID + HUB
    root = sample_project.build_project(tmp_path_factory.mktemp("project"), text)
    project = Project.load(root)
    assert [*draw.refresh(project, project.tasks)] == []
    return root


HUB = """
[base.distant]
hub = "some/base"
revision = "0123456789abcdef0123456789abcdef01234567"

[adapter.far]
base = "distant"
data = "all"
"""


def load_card(root: Path, folder: str) -> ModelCard:
    return ModelCard.load(root / folder / "README.md")


def test_a_card_has_metadata_for_the_hub_and_text_for_people(root):
    card = load_card(root, "adapters/tuned")
    assert card.data.library_name == "mlx"
    assert card.data.base_model is None, "nano is not a model of the Hub"
    [result] = card.data.eval_results
    scores = json.loads((root / "reports/tuned@tool-calling/scores.json").read_text())
    passed, n = sum(case["passes"] for case in scores["cases"]), len(scores["cases"])
    assert result.metric_value == round(passed / n, 4)
    assert len(result.dataset_revision) == 64
    low, high = statistics.wilson_interval(passed, n)
    assert f"| tool-calling | {passed} | {n} | {passed / n:.1%} | {low:.1%} to {high:.1%} |" in card.text
    assert "mlx_lm.generate --model PATH/TO/BASE --adapter-path ." in card.text
    assert "| `lora.rank` | 16 |" in card.text
    assert "| stage:english | 240 | 200 | " in card.text
    far = load_card(root, "adapters/far")
    assert (far.data.base_model, far.data.base_model_relation) == ("some/base", "adapter")
    assert "Not evaluated." in far.text
    model = load_card(root, "models/small")
    assert "97.6% of its adapter's loss reduction retained" in model.text
    assert "--model .\n" in model.text


def test_cards_are_in_no_digest(root):
    project = Project.load(root)
    for task in project.current_tasks("trained", "model"):
        assert (root / task.target / "README.md").exists()
        assert "README.md" not in project.lock(task).outputs
        assert state.state(root, task) == "current"
    with_card = digests.of_input(root, "models/small")
    (root / "models/small/README.md").unlink()
    assert digests.of_input(root, "models/small") == with_card
    assert [*draw.refresh(project, [project.planned["model:small"].task])] == []


def add_notes(path: Path, notes: str) -> None:
    path.write_text(path.read_text().replace(card_notes.BEGIN, f"{card_notes.BEGIN}\n{notes}"))


def test_notes_stay_when_a_card_is_rendered_again(root):
    path = root / "adapters/gentle/README.md"
    add_notes(path, NOTES)
    project = Project.load(root)
    draw.draw(project, project.planned["adapter:gentle"].task)
    first = path.read_text()
    assert card_notes.extract(first) == NOTES
    draw.draw(project, project.planned["adapter:gentle"].task)
    assert path.read_text() == first
    path.write_text("---\nlicense: mit\n---\n# My own text\n")
    draw.draw(project, project.planned["adapter:gentle"].task)
    assert card_notes.extract(path.read_text()) == "# My own text"
    path.write_text(first)


def step(work: Work) -> StepResult:
    (work.out / "weights").write_text(str(work.task.recipe["salt"]))
    (work.out / "README.md").write_text("text of mlx-lm")
    return StepResult("")


def task(salt: int) -> Task:
    return Task(kind=structs.replace(SELECTION, version=1), name="a", spec=None, recipe={"salt": salt})


def test_notes_survive_retraining_restoring_and_clean(tmp_path):
    build.build(tmp_path, with_step(task(1), step))
    path = tmp_path / "adapters/a/README.md"
    assert not path.exists(), "the README of the step is not the card"
    path.write_text(f"{card_notes.DRAWN}\nvalidation loss 0.1\n{card_notes.framed(NOTES)}")
    assert state.state(tmp_path, task(1)) == "current"
    assert build.build(tmp_path, with_step(task(2), step)).action == "ran"
    assert path.read_text() == card_notes.framed(NOTES), "results of other weights are removed"
    assert build.build(tmp_path, with_step(task(1), step)).action == "restored"
    assert card_notes.extract(path.read_text()) == NOTES
    state.clean(tmp_path, task(1))
    assert [file.name for file in path.parent.iterdir()] == ["README.md"]
    assert state.state(tmp_path, task(1)) == "absent"
    assert build.build(tmp_path, with_step(task(1), step)).action == "restored"
    assert card_notes.extract(path.read_text()) == NOTES
    path.unlink()
    state.clean(tmp_path, task(1))
    assert not path.parent.exists()
    assert not list(store.blob(tmp_path, "0" * 64).parent.parent.rglob("README*"))


def publish(root: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "punie_build", "publish", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(root / ".punie/hf"),
            **variables,
        },
    )
    assert process.returncode == code, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    return process.stdout + process.stderr


@pytest.mark.slow
def test_publish_uploads_a_folder_in_one_commit(root):
    project = Project.load(root)
    lock = project.lock(project.planned["adapter:tuned"].task)
    with FakeHub() as hub:
        output = publish(root, "adapter:tuned", "--repo", "me/tuned", "--private", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert f"uploaded: {hub.url}/me/tuned/commit/" in output
        assert hub.commits == [f"adapter:tuned, key {lock.key[:12]}"]
        assert hub.private == {"me/tuned"}
        uploaded = hub.uploads["me/tuned"]
        assert set(uploaded) == {*lock.outputs, "README.md", "provenance.json", "punie-build.lock.json"}
        assert uploaded["adapters.safetensors"] == (root / "adapters/tuned/adapters.safetensors").read_bytes()
        assert any(path.startswith("/lfs/") for path in hub.requests), "large files go by Git LFS"
        assert ModelCard(uploaded["README.md"].decode()).data.library_name == "mlx"
        assert json.loads(uploaded["provenance.json"])["subject"][0]["digest"]["sha256"] in lock.outputs.values()
        publish(root, "adapter:tuned", "--repo", "me/tuned", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert len(hub.commits) == 2


@pytest.mark.slow
def test_publish_needs_a_token_and_a_valid_repository_name(root):
    assert "not uploaded" in punie_build(root, "publish", "model:small", "--repo", "me/small", "--dry-run").stdout
    folder = root / ".punie/publish/models/small"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "provenance.json",
        "punie-build.lock.json",
    }
    verified = punie_build(root, "verify", str(folder)).stdout.splitlines()
    assert verified[1].endswith(", 2 files as they were built")
    assert verified[2:] == ["WRONG: model.safetensors.index.json: No such file or directory"]  # the model is a fake
    assert "no Hugging Face token - set HF_TOKEN" in publish(
        root, "model:small", "--repo", "me/small", code=2, HF_TOKEN=""
    )
    with FakeHub() as hub:
        output = publish(root, "model:small", "--repo", "me/small", code=2, HF_ENDPOINT=hub.url, HF_TOKEN="wrong")
        assert "me/small: the Hub rejected the upload" in output
        assert hub.uploads == {}
        output = publish(root, "model:small", "--repo", "a/b/c", code=2, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert "write owner/name" in output


def test_publish_refuses_other_kinds_and_stale_artifacts(root):
    process = punie_build(root, "publish", "mix:all", "--repo", "me/x", "--dry-run")
    assert process.returncode == 2
    assert "mix cannot be published" in process.stderr
    marker = root / paths.forgotten("adapters/tuned")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        process = punie_build(root, "publish", "adapter:tuned", "--repo", "me/x", "--dry-run")
        assert process.returncode == 2
        assert "adapter:tuned: stale - run `doit adapter:tuned` first" in process.stderr
    finally:
        marker.unlink()
