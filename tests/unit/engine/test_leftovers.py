from __future__ import annotations

import shutil
from pathlib import Path

from msgspec import structs

from punie_build.engine import build
from punie_build.engine.leftovers import Leftover, leftovers
from punie_build.engine.work import StepResult, Work
from punie_build.storage import paths
from tests.support.text_tasks import TEXT, text_task, with_step


def step(work: Work) -> StepResult:
    (work.out / "text").write_text(work.task.name)
    (work.out / paths.SPLITS_LOCK).write_text("a train\n")
    return StepResult("built")


def test_what_no_recipe_names_is_left_over_but_not_what_people_made(tmp_path: Path):
    (tmp_path / "raw.txt").write_text("raw")
    names = ("kept", "old", "edited", "damaged", "gone")
    tasks = [with_step(text_task(name, inputs=("raw.txt", f"data/{name}.splits.lock")), step) for name in names]
    tasks = [structs.replace(task, remembers=f"{task.target}.splits.lock") for task in tasks]
    for task in tasks:
        build.build(tmp_path, task)
    for path in ("reports/stage-old.html", "reports/stage-kept.html", "data/mine/rows.jsonl", "data/lone.splits.lock"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("text")
    (tmp_path / "data/edited/text").write_text("by hand")
    (tmp_path / "data/damaged.lock.json").write_text("<<<<<<< ")
    shutil.rmtree(tmp_path / "data/gone")
    (tmp_path / "data/gone.splits.lock").unlink()
    (tmp_path / "data/edited.splits.lock").unlink()
    (tmp_path / "data/damaged.splits.lock").unlink()
    assert list(leftovers(tmp_path, tasks[:1], {"stage": TEXT})) == [
        Leftover("data/damaged.lock.json", "it cannot be read, so what it names is unknown"),
        Leftover("data/edited", "its files are not those that were built"),
        Leftover(".punie/builds/data/gone.json"),
        Leftover("data/gone.lock.json"),
        Leftover("data/old"),
        Leftover("reports/stage-old.html"),
        Leftover(".punie/builds/data/old.json"),
        Leftover("data/old.lock.json"),
        Leftover("data/lone.splits.lock"),
        Leftover("data/old.splits.lock"),
    ]
