"""The store: what was ever made, kept small, whole, and shared."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie_build.artifacts.registry import KINDS
from punie_build.cli.options import Command, Options, nothing
from punie_build.errors import UseError
from punie_build.runtime.console import format_bytes
from punie_build.storage import git_refs, locks, paths, store
from punie_build.storage import remote as shared
from punie_build.storage.locks import Lock
from punie_build.training import checkpoints

FOLDERS = [kind.folder for kind in KINDS.values() if kind.folder]


def gc(root: Path, options: Options) -> int:
    """Remove what no lock names, in this tree or on any branch of git, and nobody used for `--days` days; old checkpoints too."""
    swept = store.gc(root, _all_locks(root, git_refs.locks(root, FOLDERS)), options.days, options.dry_run)
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {swept.removed} files, {format_bytes(swept.freed)}; kept {swept.kept}, {format_bytes(swept.held)}")
    trainings, freed = checkpoints.remove_unused(root / paths.checkpoints(""), options.days, options.dry_run)
    if trainings:
        print(f"{verb} the checkpoints of {trainings} training{'s' if trainings > 1 else ''}, {format_bytes(freed)}")
    return 0


def verify(root: Path, _options: Options) -> int:
    """Read every blob and compare it with its name."""
    lines = list(store.verify(root))
    print("\n".join(lines) or "every file in the store is what its name says")
    return 2 if lines else 0


def push(root: Path, _options: Options) -> int:
    """Send what the locks of this tree name and the shared store lacks."""
    remote = shared.of(root)
    if remote is None:
        raise UseError('no shared store - set `store = "s3://..."` under [tool.punie-build] in pyproject.toml')
    here = [lock for lock in _all_locks(root) if store.find(root, lock.key, lock)]
    sent = sum(store.push(root, lock) for lock in here)
    print(f"{sent} files sent, for {len(here)} artifacts")
    return 2 if remote.lost else 0


def _all_locks(root: Path, more: Iterable[Lock] = ()) -> Iterator[Lock]:
    yield from (lock for path in locks.present(root, FOLDERS) if (lock := locks.read(path)))
    yield from more


def _gc_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--days", type=float, default=30.0, help="keep what was used in the last so many days (30)")
    command.add_argument("--dry-run", action="store_true", help="say what would be removed")


COMMANDS: dict[str, Command] = {
    "store gc": (gc, _gc_options),
    "store verify": (verify, nothing),
    "store push": (push, nothing),
}
