"""doit: the only module that knows it. `dodo.py` is three lines: everything is in the recipes.

doit decides the order and what was selected; whether a target is current, `build` decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from doit.exceptions import InvalidDodoFile, TaskFailed

from punie_build import build
from punie_build.errors import PunieError, RecipeError
from punie_build.graph import Task, tasks
from punie_build.loading import load
from punie_build.steps import steps

DOIT_CONFIG = {"verbosity": 2, "backend": "sqlite3", "subtasks": True}


def artifacts(root: Path = Path()) -> Iterator[dict[str, Any]]:
    """A doit task for every artifact of the project in `root`."""
    root = root.resolve()
    try:
        recipe = load(root)
    except RecipeError as error:
        raise InvalidDodoFile(
            f"{len(error.problems)} mistakes in the recipes\n{error}" if len(error.problems) > 1 else str(error)
        ) from None
    work = steps(recipe)
    found = list(tasks(recipe))
    yield from (
        {"basename": kind, "name": None, "doc": f"every {kind}"} for kind in dict.fromkeys(t.kind for t in found)
    )
    for task in found:
        yield {
            "basename": task.kind,
            "name": task.name,
            "doc": task.doc,
            "actions": [_action(root, task, work[task.kind])],
            "task_dep": list(task.needs),
            "targets": [task.target],
            "uptodate": [_current(root, task)],
            "clean": [(build.clean, [root, task])],
            "io": {"capture": False},
        }


def _current(root: Path, task: Task) -> Callable[[], bool]:
    return lambda: build.state(root, task) == "current"


def _action(root: Path, task: Task, step: build.Step) -> Callable[[], Any]:
    def run() -> Any:
        started = time.monotonic()
        try:
            said = build.build(root, task, step)
        except PunieError as error:
            return TaskFailed(str(error))
        except OSError as error:  # a full disk, a folder that may not be written: nothing of ours is half there
            return TaskFailed(f"{task.label}: {error} - make room or give access, and build again")
        if said is not None:
            print(f"   {said}  ({time.monotonic() - started:.1f} s)", flush=True)
        return None

    return run
