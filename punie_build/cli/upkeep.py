"""The commands `accept` and `prune`: what a person decides about files that no build would leave as they are."""

from __future__ import annotations

import argparse
from pathlib import Path

from punie_build.cli.options import Command, Options, target
from punie_build.engine import acceptance
from punie_build.engine import leftovers as leftover_files
from punie_build.errors import printable
from punie_build.project import Project
from punie_build.storage.atomic import remove


def accept(root: Path, options: Options) -> int:
    """Declare the files of a target to be its result, without a build. Its lock says so."""
    project = Project.load(root)
    task = project.task(options.target)
    reasons = acceptance.accept(project.root, task)
    if not reasons:
        print(f"{task.label}: current, so there is nothing to accept")
        return 0
    print(f"{task.label}: accepted as it is, not built; its lock says so, with what differed:")
    print("\n".join(f"    {reason}" for reason in reasons))
    return 0


def prune(root: Path, options: Options) -> int:
    """Remove targets, locks, pages and split memory that no recipe names. The store still has what was built."""
    project = Project.load(root)
    found = list(leftover_files.leftovers(project.root, project.tasks, project.recipe.kinds))
    for leftover in found:
        name = printable(leftover.path)
        if leftover.retained:
            print(f"{name}: stays, for {leftover.retained} - remove it by hand if you do not want it")
            continue
        if not options.dry_run:
            remove(project.root / leftover.path)
        print(f"{name}: {'would be removed' if options.dry_run else 'removed'}")
    if not found:
        print("nothing to remove: every lock has its recipe")
    return 0


def _prune_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="print what would be removed")


COMMANDS: dict[str, Command] = {"accept": (accept, target), "prune": (prune, _prune_options)}
