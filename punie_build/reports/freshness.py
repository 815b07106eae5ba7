"""Freshness of pages: whether something was built since pages were drawn. It imports nothing heavy, for builds with
nothing to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from punie_build.storage import paths


def is_behind(root: Path, targets: Iterable[str]) -> bool:
    """Whether something was built since the index was drawn: a build that was killed draws no pages."""
    drawn = written_at(root, paths.INDEX)
    return any(written_at(root, paths.lock(target)) > drawn for target in targets)


def written_at(root: Path, path: str) -> int:
    """Return when a file was written, in nanoseconds; -1 if there is none."""
    try:
        return os.stat(f"{root}/{path}").st_mtime_ns
    except OSError:
        return -1
