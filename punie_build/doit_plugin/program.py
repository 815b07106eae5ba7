"""doit as a function, for commands of our own that build."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from punie_build.doit_plugin import tasks
from punie_build.errors import PunieError, RecipeError
from punie_build.storage import paths


def run_doit(root: Path, words: Sequence[str]) -> int:
    """Run `doit WORD ...` in this process, and return its exit code. Without a `dodo.py` its tasks are the artifacts.

    `root` is the current folder. Raises RecipeError for a `dodo.py` that cannot be imported.
    """
    loader = None
    if (root / paths.DODO).exists():
        _import_dodo(root)  # doit, which imports it again, would print a traceback
    else:
        loader = ModuleTaskLoader({"DOIT_CONFIG": tasks.DOIT_CONFIG, "task_artifacts": tasks.artifacts})
    before, sys.argv = sys.argv, ["doit", *words]  # `tasks` finds mistakes in the command line of doit
    try:
        return int(DoitMain(loader).run(list(words)) or 0)
    finally:
        sys.argv = before


def _import_dodo(root: Path) -> None:
    sys.path.insert(0, str(root.resolve()))
    try:
        import_module(Path(paths.DODO).stem)
    except PunieError:
        raise
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        trace = error.__traceback__
        while trace:
            if Path(trace.tb_frame.f_code.co_filename).name == paths.DODO:
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f"{paths.DODO}:{line}" if line else paths.DODO
        advice = "repair it, or remove it: without it, `punie-build build` builds the artifacts of the recipes"
        raise RecipeError([f"{where}: {type(error).__name__}: {error} - {advice}"]) from error
