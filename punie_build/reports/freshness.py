"""Freshness of pages: whether something was built since pages were drawn. It imports nothing heavy, for builds with
nothing to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from punie_build.storage import paths

if TYPE_CHECKING:
    from punie_build.engine.task import AnyTask


MARKED = 0  # the time of a page that is marked as one of an earlier build, in nanoseconds


def is_behind(root: Path, tasks: Iterable[AnyTask]) -> bool:
    """Whether something was built or a recipe was edited since the index was drawn: a build that was killed draws no
    pages, and gates are in no lock. A marked page may be one of a current artifact again."""
    drawn, tasks = written_at(root, paths.INDEX), list(tasks)
    if any(written_at(root, file) > drawn for file in {task.file for task in tasks if task.file}):
        return True
    return any(
        written_at(root, paths.lock(task.target)) > drawn
        or written_at(root, paths.page(task.kind.name, task.name)) == MARKED
        for task in tasks
    )


def written_at(root: Path, path: str) -> int:
    """Return when a file was written, in nanoseconds; -1 if there is none."""
    try:
        return os.stat(f"{root}/{path}").st_mtime_ns
    except OSError:
        return -1
