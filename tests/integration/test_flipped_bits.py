"""The short form of flipped bits: text tasks in one process. `tests/kills/bits.py` is long, with trainings."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from msgspec import structs

from punie_build.engine import build
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, locks, paths
from tests.kills.bits import flip, flippable
from tests.support.file_digests import make_unwritable, wait_until_stable
from tests.support.text_tasks import text_task, with_step


def step(work: Work) -> StepResult:
    texts = [path.read_text() if path.is_file() else (path / "text").read_text() for path in work.inputs()]
    (work.out / "text").write_text("".join(texts) + work.task.name)
    (work.out / paths.SPLITS_LOCK).write_text("a train\n")
    return StepResult("built", {"rows": len(texts)})


MEMORY = "data/a.splits.lock"
TASKS = [
    with_step(structs.replace(text_task("a", inputs=("raw.txt", MEMORY)), remembers=MEMORY), step),
    with_step(text_task("b", "a"), step, version=None),
]


def built(root: Path) -> dict[str, object]:
    """Build in a process that has just started, so to say. Return the files of all targets, and their keys."""
    digests._memory.clear()
    digests.use_cache(root)
    for task in TASKS:
        build.build(root, task)
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "data").rglob("text")}
    return files | {task.target: locks.read(root / paths.lock(task.target)).key for task in TASKS}


def test_a_bit_flipped_in_any_file_of_the_state_heals(tmp_path, request):
    request.addfinalizer(lambda: digests.use_cache(make_unwritable(tmp_path)))
    root = tmp_path / "project"
    root.mkdir()
    (root / "raw.txt").write_text("raw")
    wait_until_stable(root / "raw.txt")
    expected = built(root)
    names = [path.relative_to(root) for path in flippable(root)]
    assert len(names) >= 6  # two records, their blobs, the digests
    shutil.copytree(root, tmp_path / "backup")
    rng = random.Random(1)
    for name in names:
        shutil.rmtree(root / paths.STATE)
        shutil.rmtree(root / "data")
        for folder in (paths.STATE, "data"):
            shutil.copytree(tmp_path / "backup" / folder, root / folder)
        for task in TASKS:
            shutil.rmtree(root / task.target)
        flip(root / name, rng)
        assert built(root) == expected, name
