"""punie-build: what is not a task of doit.

    punie-build check      are the recipes right, and what is made of them current?

Exit codes: 0 fine, 1 something is stale, 2 wrong use or a broken artifact, 3 mistakes in the recipes.
To add a command: a function `(root, options) -> exit code` and its row in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from punie_build import build
from punie_build.errors import PunieError, RecipeError
from punie_build.graph import tasks
from punie_build.loading import load

MEANING = {
    "current": "current",
    "absent": "not built",
    "stale": "made from something else since changed: build it again",
    "edited": "not the files that were built: build it again",
}


def check(root: Path) -> int:
    """Read every recipe, and say of each artifact whether it is current. Builds nothing, needs neither data nor mlx."""
    found = [(task, build.state(root, task)) for task in tasks(load(root))]
    for task, state in found:
        print(f"{task.label:<36} {MEANING[state]}")
    states = [state for _, state in found]
    counts = ", ".join(f"{states.count(state)} {state}" for state in MEANING if state in states)
    print(f"{len(found)} artifacts in the recipes, no mistakes: {counts}")
    return 2 if "edited" in states else 1 if "stale" in states else 0


COMMANDS: dict[str, Callable[[Path], int]] = {"check": check}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="punie-build", description="Commands beside doit. `doit` builds, `doit list` shows what there is."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        commands.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
    options = parser.parse_args(arguments)
    try:
        code = COMMANDS[options.command](Path.cwd())
    except RecipeError as error:
        print(error, file=sys.stderr)
        code = 3
    except PunieError as error:
        print(error, file=sys.stderr)
        code = 2
    sys.exit(code)
