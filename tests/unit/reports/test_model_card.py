"""Model cards, what people write into them, and how they come to the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from punie_build.engine import build, card_notes, state
from punie_build.engine.task import Task
from punie_build.engine.work import Work
from punie_build.evaluation import statistics
from punie_build.recipes.loader import load
from punie_build.reports import draw, model_card
from punie_build.storage import digests, paths, store
from punie_build.testing.fake_hub import TOKEN, FakeHub
from tests.support import sample_project as drawing

MINE = "It is meant for editors.\n\n- not for poems"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    text = drawing.RECIPE + drawing.GRID + HUB
    root = drawing.project(tmp_path_factory.mktemp("drawn"), text)
    project = draw.project_of(root, load(root))
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


def card(root: Path, place: str) -> ModelCard:
    return ModelCard.load(root / place / "README.md")


def test_a_card_says_what_the_hub_asks_and_what_people_ask(root):
    found = card(root, "adapters/tuned")
    assert found.data.library_name == "mlx"
    assert found.data.base_model is None, "nano is no model of the Hub"
    [result] = found.data.eval_results
    scores = json.loads((root / "reports/tuned@tool-calling/scores.json").read_text())
    passed, n = sum(case["passes"] for case in scores["cases"]), len(scores["cases"])
    assert result.metric_value == round(passed / n, 4)
    assert len(result.dataset_revision) == 64
    low, high = statistics.wilson(passed, n)
    assert f"| tool-calling | {passed} | {n} | {passed / n:.1%} | {low:.1%} to {high:.1%} |" in found.text
    assert "mlx_lm.generate --model PATH/TO/BASE --adapter-path ." in found.text
    assert "| `lora.rank` | 16 |" in found.text
    assert "| stage:english | 240 | 200 | " in found.text
    far = card(root, "adapters/far")
    assert (far.data.base_model, far.data.base_model_relation) == ("some/base", "adapter")
    assert "nothing is known of what it can do" in far.text
    model = card(root, "models/small")
    assert "97.6% of its adapter's gain retained" in model.text
    assert "--model .\n" in model.text


def test_cards_are_in_no_digest(root):
    project = draw.project_of(root, load(root))
    for task in project.current_tasks(*model_card.KINDS):
        assert (root / task.target / "README.md").exists()
        assert "README.md" not in project.lock(task).outputs
        assert state.state(root, task) == "current"
    with_card = digests.of_input(root, "models/small")
    (root / "models/small/README.md").unlink()
    assert digests.of_input(root, "models/small") == with_card
    assert [*draw.refresh(project, [project.planned["model:small"].task])] == []


def write(place: Path, words: str) -> None:
    place.write_text(place.read_text().replace(card_notes.BEGIN, f"{card_notes.BEGIN}\n{words}"))


def test_what_people_write_stays_when_a_card_is_drawn_anew(root):
    place = root / "adapters/gentle/README.md"
    write(place, MINE)
    project = draw.project_of(root, load(root))
    draw.draw(project, project.planned["adapter:gentle"].task)
    once = place.read_text()
    assert card_notes.of(once) == MINE
    draw.draw(project, project.planned["adapter:gentle"].task)
    assert place.read_text() == once
    place.write_text("---\nlicense: mit\n---\n# All my own\n")
    draw.draw(project, project.planned["adapter:gentle"].task)
    assert card_notes.of(place.read_text()) == "# All my own"
    place.write_text(once)


def step(work: Work) -> Made:
    (work.out / "weights").write_text(str(work.task.config["salt"]))
    (work.out / "README.md").write_text("what mlx-lm writes there")
    return Made("")


def task(salt: int) -> Task:
    return Task(kind="choice", name="a", doc="", target="adapters/a", spec=None, config={"salt": salt})


def test_notes_outlive_another_adapter_a_restored_one_and_clean(tmp_path):
    build.build(tmp_path, task(1), step)
    place = tmp_path / "adapters/a/README.md"
    assert not place.exists(), "what the step wrote there is not the card"
    place.write_text(f"{card_notes.DRAWN}\nvalidation loss 0.1\n{card_notes.framed(MINE)}")
    assert state.state(tmp_path, task(1)) == "current"
    assert build.build(tmp_path, task(2), step).how == "ran"
    assert place.read_text() == card_notes.framed(MINE), "what was said of other weights is gone"
    assert build.build(tmp_path, task(1), step).how == "restored"
    assert card_notes.of(place.read_text()) == MINE
    state.clean(tmp_path, task(1))
    assert [path.name for path in place.parent.iterdir()] == ["README.md"]
    assert state.state(tmp_path, task(1)) == "absent"
    assert build.build(tmp_path, task(1), step).how == "restored"
    assert card_notes.of(place.read_text()) == MINE
    place.unlink()
    state.clean(tmp_path, task(1))
    assert not place.parent.exists()
    assert not list(store.blob(tmp_path, "0" * 64).parent.parent.rglob("README*"))


# to the Hub


def publish(root: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from punie_build.cli.main import main; main()", "publish", *arguments],
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
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_publish_makes_a_folder_and_uploads_it_in_one_commit(root):
    project = draw.project_of(root, load(root))
    lock = project.lock(project.planned["adapter:tuned"].task)
    with FakeHub() as hub:
        said = publish(root, "adapter:tuned", "--repo", "me/tuned", "--private", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert f"uploaded: {hub.url}/me/tuned/commit/" in said
        assert hub.commits == [f"adapter:tuned, key {lock.key[:12]}"]
        assert hub.private == {"me/tuned"}
        taken = hub.uploads["me/tuned"]
        assert set(taken) == {*lock.outputs, "README.md", "provenance.json"}
        assert taken["adapters.safetensors"] == (root / "adapters/tuned/adapters.safetensors").read_bytes()
        assert any(path.startswith("/lfs/") for path in hub.requests), "large files go by Git LFS"
        assert ModelCard(taken["README.md"].decode()).data.library_name == "mlx"
        assert json.loads(taken["provenance.json"])["subject"][0]["digest"]["sha256"] in lock.outputs.values()
        publish(root, "adapter:tuned", "--repo", "me/tuned", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert len(hub.commits) == 2


def test_publish_prepares_without_a_token_and_says_what_is_missing(root):
    said = publish(root, "model:small", "--repo", "me/small", "--dry-run", HF_TOKEN="")
    assert "not uploaded" in said
    folder = root / ".punie/publish/models/small"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "provenance.json",
    }
    assert "no token of the Hub - set HF_TOKEN" in publish(
        root, "model:small", "--repo", "me/small", code=2, HF_TOKEN=""
    )
    with FakeHub() as hub:
        said = publish(root, "model:small", "--repo", "me/small", code=2, HF_ENDPOINT=hub.url, HF_TOKEN="wrong")
        assert "me/small: the Hub did not take it" in said
        assert hub.uploads == {}
        said = publish(root, "model:small", "--repo", "a/b/c", code=2, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert "write owner/name" in said


def test_publish_refuses_what_is_not_what_its_recipe_gives(root):
    assert "mix is not published" in publish(root, "mix:all", "--repo", "me/x", "--dry-run", code=2)
    mark = root / paths.forgotten("adapters/tuned")
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        said = publish(root, "adapter:tuned", "--repo", "me/x", "--dry-run", code=2)
        assert "adapter:tuned: stale - `doit adapter:tuned` first" in said
    finally:
        mark.unlink()
