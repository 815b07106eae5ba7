"""The commands `build`, `list`, `clean` and `forget`: those of doit, by the name of an artifact.

They need no `dodo.py`, and accept short names. With a `dodo.py` its other tasks run too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from punie_build.cli import overrides
from punie_build.cli.options import Command, Options, print_json, targets, targets_json
from punie_build.engine import state as states
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.storage import paths


def build(root: Path, options: Options) -> int:
    """Build the artifacts that are out of date, as `doit` does."""
    from punie_build.doit_plugin.program import run_doit

    if options.executor:
        os.environ["PUNIE_BUILD_EXECUTOR"] = options.executor
    words = [
        flag for flag, is_given in (("--continue", options.go_on), ("--always-execute", options.always)) if is_given
    ]
    if options.jobs:
        words += ["-n", str(options.jobs)]
    derived = overrides.write(root, options.set) if options.set else []
    code = run_doit(root, ["run", *words, *_labels(root, options.targets), *derived])
    if code == 0 and options.gate and (failed := Project.load(root).failed_gates()):
        lines = [f"{label}: {line}" for label, problems in failed.items() for line in problems]
        raise UseError("\n".join(lines))
    return code


def list_artifacts(root: Path, options: Options) -> int:
    """Print the artifacts with their states, or as JSON."""
    project = Project.load(root)
    tasks = [project.task(name) for name in options.targets] or project.tasks
    failed = project.failed_gates(tasks)
    rows = [
        {
            "label": task.label,
            "state": project.state(task),
            "target": task.target,
            "description": task.doc,
            "needs": list(task.needs),
            "failed_gates": failed.get(task.label, []),
        }
        for task in tasks
    ]
    if options.json:
        print_json(rows)
        return 0
    width = max((len(task.label) for task in tasks), default=0)
    for row in rows:
        gates = "  GATES FAILED" if row["failed_gates"] else ""
        print(f"{row['label']:<{width}}  {row['state']:<9}  {row['description']}{gates}")
    return 0


def clean(root: Path, options: Options) -> int:
    """Remove the files of artifacts. Their locks remain, and a store brings the files back."""
    project = Project.load(root)
    for label in _selected(project, options):
        task = project.task(label)
        if (root / task.target).exists():
            if not options.dry_run:
                states.clean(root, task)
            print(f"{label}: {task.target}/ {'would be removed' if options.dry_run else 'removed'}")
    return 0


def forget(root: Path, options: Options) -> int:
    """Mark artifacts to be built again, and not restored."""
    from punie_build.doit_plugin.program import run_doit

    return run_doit(root, ["forget", *_selected(Project.load(root), options)])


def _selected(project: Project, options: Options) -> list[str]:
    if options.all == bool(options.targets):
        raise UseError("no artifact is named - name artifacts, or use --all for all of them")
    if options.all:
        return [task.label for task in project.tasks]
    return [project.task(name).label for name in options.targets]


def _labels(root: Path, names: Sequence[str]) -> list[str]:
    """Return the labels of artifacts. Names of kinds, of groups and of tasks of a dodo.py are left to doit."""
    if not names:
        return []
    project = Project.load(root)
    kinds = {task.kind.name for task in project.tasks}
    own = (root / paths.DODO).exists()
    known = {task.label for task in project.tasks} | {task.name for task in project.tasks}
    return [
        name if name in kinds or name in project.groups or (own and name not in known) else project.task(name).label
        for name in names
    ]


def _build_options(command: argparse.ArgumentParser) -> None:
    targets(command)
    command.add_argument(
        "--set",
        action="append",
        metavar="KIND.NAME.FIELD=VALUE",
        help="also build this entry with another value, under a name of its own: --set adapter.v1.iters=20",
    )
    command.add_argument("-n", "--jobs", type=int, metavar="N", help="build up to N artifacts at a time; default: 1")
    command.add_argument(
        "--continue", dest="go_on", action="store_true", help="go on with other artifacts after a failure"
    )
    command.add_argument("--always", action="store_true", help="build what is current too")
    command.add_argument("--gate", action="store_true", help="fail if an artifact fails one of its gates")
    command.add_argument(
        "--executor", metavar="URL", help="where steps run: local, dask://HOST:PORT or ssh://HOST,HOST"
    )


def _forget_options(command: argparse.ArgumentParser) -> None:
    targets(command)
    command.add_argument("--all", action="store_true", help="all artifacts")


def _clean_options(command: argparse.ArgumentParser) -> None:
    _forget_options(command)
    command.add_argument("--dry-run", action="store_true", help="print what would be removed")


COMMANDS: dict[str, Command] = {
    "build": (build, _build_options),
    "list": (list_artifacts, targets_json),
    "clean": (clean, _clean_options),
    "forget": (forget, _forget_options),
}
