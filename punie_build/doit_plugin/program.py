"""doit as a function, for commands of our own that build."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from punie_build.doit_plugin import tasks
from punie_build.storage import paths


def run_doit(root: Path, words: Sequence[str]) -> int:
    """Run `doit WORD ...` in this process, and return its exit code. Without a `dodo.py` its tasks are the artifacts.

    `root` is the current folder.
    """
    loader = None
    if not (root / paths.DODO).exists():
        loader = ModuleTaskLoader({"DOIT_CONFIG": tasks.DOIT_CONFIG, "task_artifacts": tasks.artifacts})
    before, sys.argv = sys.argv, ["doit", *words]  # `tasks` finds mistakes in the command line of doit
    try:
        return int(DoitMain(loader).run(list(words)) or 0)
    finally:
        sys.argv = before
