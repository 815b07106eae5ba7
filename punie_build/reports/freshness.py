"""Reporting: pages that show artifacts to people. `pages` says which there are and when they are drawn; a module for each family
gathers `material` and turns it into sections; `templates/` are the looks, `page` puts them together into one HTML file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from punie_build.storage import paths


def behind(root: Path, targets: Iterable[str]) -> bool:
    """Whether something was made since the index was drawn: a build that was killed draws no pages."""
    drawn = written(root, paths.INDEX)
    return any(written(root, paths.lock(target)) > drawn for target in targets)


def written(root: Path, place: str) -> int:
    """When a file was written, in nanoseconds; before all time where there is none."""
    try:
        return os.stat(f"{root}/{place}").st_mtime_ns
    except OSError:
        return -1
