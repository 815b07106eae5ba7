"""Leftovers: targets, locks, pages and split memory of artifacts that no recipe describes any more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import AnyTask
from punie_build.storage import digests, locks, paths


class Leftover(Struct, frozen=True):
    """A path of the project, and why it stays, "" if it can be removed: the store has what was built."""

    path: str
    retained: str = ""


def leftovers(root: Path, tasks: Sequence[AnyTask], kinds: Mapping[str, ArtifactKind]) -> Iterator[Leftover]:
    """Yield what locks without a recipe name. A folder without a lock was not built here, and is none of them."""
    known = {task.target for task in tasks}
    folders = dict.fromkeys(kind.folder for kind in kinds.values() if kind.folder)
    for file in locks.present(root, folders):
        target = file.relative_to(root).as_posix().removesuffix(paths.LOCK)
        if target not in known:
            yield from _of_target(root, target, kinds)
    for folder in folders:
        for file in sorted((root / folder).glob(f"*.{paths.SPLITS_LOCK}")):
            target = file.relative_to(root).as_posix().removesuffix(f".{paths.SPLITS_LOCK}")
            if target not in known:
                yield Leftover(paths.splits_lock(target))


def _of_target(root: Path, target: str, kinds: Mapping[str, ArtifactKind]) -> Iterator[Leftover]:
    lock, folder = locks.read(root / paths.lock(target)), root / target
    if lock is None:
        yield Leftover(paths.lock(target), "it cannot be read, so what it names is unknown")
        return
    if os.path.lexists(folder):
        if folder.is_symlink() or not folder.is_dir() or digests.of_target(folder, target) != lock.outputs:
            yield Leftover(target, "its files are not those that were built")
            return
        yield Leftover(target)
    kind = kinds.get(lock.key_inputs.kind)
    name = target.rpartition("/")[2].removesuffix(kind.suffix if kind else "")
    pages = (page(lock.key_inputs.kind, name) for page in (paths.page, paths.markdown_page))
    state = (paths.logs(target), paths.forgotten(target), paths.build_records(target))
    others = (*pages, *state, paths.lock(target))  # the lock names the others
    yield from (Leftover(path) for path in others if os.path.lexists(root / path))
