"""Targets of text files in a local store: put, built, aged and corrupted."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from punie_build.engine import build
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, paths, store
from punie_build.storage.locks import KeyInputs, Lock
from tests.support.text_tasks import text_task, with_step

DAY = 86400
TARGET = "data/s"
FOLDERS = ("adapters", "data", "models", "reports")


def put(root: Path, files: dict[str, str], salt: object = 0) -> Lock:
    """Store a target of these files, as a build does. Return its lock."""
    folder = root / "built"
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    key_inputs = KeyInputs(kind="stage", recipe={"salt": salt}, code="c", inputs={}, tools={})
    lock = Lock(key=key_inputs.key, key_inputs=key_inputs, outputs=digests.of_folder(folder), seconds=1.5)
    store.put(root, folder, lock)
    return lock


def empty_folder(root: Path, name: str = "out") -> Path:
    """Create an empty folder to restore into."""
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def action(root: Path, lock: Lock) -> Path:
    return root / paths.STATE / "store" / "actions" / lock.key[:2] / lock.key


def blobs(root: Path, lock: Lock) -> list[Path]:
    return [store.blob(root, digest) for digest in lock.outputs.values()]


def age(root: Path, days: float, *files: Path) -> None:
    """Set the time of last use of files of the store, or of all of them, back by a number of days."""
    for path in files or [path for path in (root / paths.STATE / "store").rglob("*") if path.is_file()]:
        os.utime(path, (time.time() - days * DAY,) * 2)


def corrupt(path: Path) -> None:
    """Change the bytes of a file, not its size and times."""
    stat = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def build_text(root: Path, recipe: object = 0) -> build.Outcome:
    task = text_task("s", inputs=("data/in",), a=recipe)

    def step(work: Work) -> StepResult:
        text = (work.root / "data/in/train.jsonl").read_text()
        (work.out / "train.jsonl").write_text(f"{work.task.recipe['a']} {text}")
        return StepResult("built")

    return build.build(root, with_step(task, step))
