"""Commands of the store: remove unused files, verify all files, and upload them to the shared store, allow that."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie_build.artifacts.registry import KINDS
from punie_build.cli.options import Command, Options, no_options
from punie_build.errors import UseError, printable
from punie_build.project import Project
from punie_build.runtime.console import format_bytes
from punie_build.storage import git_refs, locks, paths, remote, settings, signatures, store
from punie_build.storage.locks import Lock
from punie_build.training import checkpoints

NO_STORE = 'no shared store - set `store = "s3://..."` under [tool.punie-build] in pyproject.toml'
FOLDERS = [kind.folder for kind in KINDS.values() if kind.folder]


def gc(root: Path, options: Options) -> int:
    """Remove files that no lock names, in the tree or on a branch, unused for `--days` days; old checkpoints too."""
    _require_project(root)
    result = store.gc(root, _all_locks(root, git_refs.locks(root, FOLDERS)), options.days, options.dry_run)
    verb = "would remove" if options.dry_run else "removed"
    removed, retained = format_bytes(result.removed_bytes), format_bytes(result.kept_bytes)
    print(f"{verb} {result.removed_blobs} files, {removed}; kept {result.kept_blobs}, {retained}")
    trainings, freed = checkpoints.remove_unused(root / paths.checkpoints(""), options.days, options.dry_run)
    if trainings:
        print(f"{verb} the checkpoints of {trainings} training{'s' if trainings > 1 else ''}, {format_bytes(freed)}")
    return 0


def verify(root: Path, _options: Options) -> int:
    """Read every file of the store and compare its digest with its name."""
    _require_project(root)
    lines = list(store.verify(root))
    print("\n".join(lines) or "every file in the store has the digest in its name")
    return 2 if lines else 0


def push(root: Path, _options: Options) -> int:
    """Upload the files that the locks of this tree name and that the shared store lacks."""
    _require_project(root)
    shared = remote.of_project(root)
    if shared is None:
        raise UseError(settings.not_allowed(root) or NO_STORE)
    stored = [lock for lock in _all_locks(root) if store.find(root, lock.key, lock)]
    n_sent = sum(store.push(root, lock) for lock in stored)
    print(f"{n_sent} files sent, for {len(stored)} artifacts")
    return 2 if shared.unreachable else 0


def _require_project(root: Path) -> None:
    if not Project.has_recipes(root) and not (root / paths.STATE).is_dir():
        raise UseError("no project in this folder or above it, so there is no store - change to it, or name it with -C")


def allow(root: Path, _options: Options) -> int:
    """Allow the shared store that this project names, with its options, for every project on this machine."""
    options = settings.load(root)
    if options.store is None:
        raise UseError(NO_STORE)
    print(f"allowed in {settings.allow(options)}: {printable(str(options.store))}")
    for name, value in options.store_options.items():
        print(printable(f"    {name} = {value}"))
    if options.executor != settings.LOCAL:
        print(printable(f"    executor = {options.executor}"))
        if options.executor_options != settings.ExecutorOptions():
            print(printable(f"    executor_options = {options.executor_options}"))
    return 0


def keygen(root: Path, options: Options) -> int:
    """Write a new private key that signs the records of a shared store, and print its public key."""
    public = signatures.new_key(root / options.file)
    print(f"{options.file}: written; set PUNIE_BUILD_SIGN_KEY to its path where results may be signed")
    print(f'in pyproject.toml, under [tool.punie-build]: store_verify = ["{public}"]')
    return 0


def _keygen_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the file of the private key; do not commit it")


def _all_locks(root: Path, others: Iterable[Lock] = ()) -> Iterator[Lock]:
    yield from (lock for path in locks.present(root, FOLDERS) if (lock := locks.read(path)))
    yield from others


def _gc_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--days", type=float, default=30.0, metavar="N", help="keep files that were used in the last N days (30)"
    )
    command.add_argument("--dry-run", action="store_true", help="remove no file; print the counts")


COMMANDS: dict[str, Command] = {
    "store gc": (gc, _gc_options),
    "store verify": (verify, no_options),
    "store allow": (allow, no_options),
    "store push": (push, no_options),
    "store keygen": (keygen, _keygen_options),
}
