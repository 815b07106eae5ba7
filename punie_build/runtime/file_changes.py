"""Changes of the files of a project that people write and a build reads, without those that a build writes.

`watchfiles` is told by the operating system of each change. Without that package the sizes and times of all files are
compared every half second, or less often in a folder where that takes long.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from punie_build.storage import paths

REPORTS = paths.INDEX.partition("/")[0]
INTERVAL = 0.5  # seconds between two comparisons
SHARE = 0.05  # of the time at most is spent comparing
SETTLE_MS = 100  # a change is reported when no other came for this long


def has_notifications() -> bool:
    """Return whether the package `watchfiles` is installed."""
    return importlib.util.find_spec("watchfiles") is not None


def changes(root: Path, matters: Callable[[str], bool]) -> Iterator[list[str]]:
    """Yield the changed files that matter, relative to the root, each time that some change. Changes between two yields
    are in the next one. The first call of `next` starts to watch, and yields an empty list at once."""

    def is_watched(path: str) -> bool:
        return is_written(root, path) and matters(path) and not (root / path).is_dir()

    yield from notified(root, is_watched) if has_notifications() else compared(root, is_watched)


def is_written(root: Path, path: str) -> bool:
    """Return whether people write this path, relative to the root: no lock, target, page or hidden file."""
    parts = path.split(os.sep)
    if any(part.startswith(".") or part == "__pycache__" for part in parts) or parts[0] == REPORTS:
        return False
    if path.endswith((paths.LOCK, f".{paths.SPLITS_LOCK}")):
        return False
    folders = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return not any((root / paths.lock(folder)).exists() for folder in folders)


def notified(root: Path, is_watched: Callable[[str], bool]) -> Iterator[list[str]]:
    """Yield changes as the operating system reports them."""
    import watchfiles

    top = root.resolve()

    def relative(path: str) -> str:
        return os.path.relpath(path, top)

    watched = watchfiles.watch(
        top,
        watch_filter=lambda _, path: is_watched(relative(path)),
        debounce=SETTLE_MS,
        step=SETTLE_MS // 2,
        rust_timeout=2 * SETTLE_MS,
        yield_on_timeout=True,
    )
    next(watched)  # starts to watch
    yield []
    for batch in watched:
        if batch:
            yield sorted({relative(path) for _, path in batch})


def compared(root: Path, is_watched: Callable[[str], bool]) -> Iterator[list[str]]:
    """Yield changes found by comparing the sizes and times of all watched files."""
    before = _stamps(root, is_watched)
    yield []
    while True:
        started = time.monotonic()
        after = _stamps(root, is_watched)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        before = after
        if changed:
            yield changed
        else:
            time.sleep(max(INTERVAL, (time.monotonic() - started) / SHARE))


def _stamps(root: Path, is_watched: Callable[[str], bool]) -> dict[str, tuple[int, int]]:
    """Return the size and the time of change of every watched file."""
    stamps = {}
    for folder, folders, names in os.walk(root, followlinks=False):
        relative = os.path.relpath(folder, root)
        inside = "" if relative == "." else relative + os.sep
        folders[:] = [name for name in folders if is_written(root, inside + name)]
        for name in names:
            if is_watched(inside + name):
                try:
                    facts = os.stat(os.path.join(folder, name))
                except OSError:  # gone since it was listed
                    continue
                stamps[inside + name] = (facts.st_size, facts.st_mtime_ns)
    return stamps
