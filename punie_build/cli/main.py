"""punie-build: what is not a task of doit. What there is, `commands` lists.

Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from punie_build.cli.options import Command
from punie_build.cli.registry import MODULES
from punie_build.errors import PunieError, RecipeError

EXITS = "Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes."


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """All commands by name; those of the module that is asked, with their options."""
    asked, _ = MODULES.get(arguments[0] if arguments else "", ("", ""))
    commands: dict[str, Command] = import_module(f"punie_build.cli.{asked}").COMMANDS if asked else {}
    parser = argparse.ArgumentParser(
        prog="punie-build",
        description="Commands beside doit. `doit` builds, `doit list` shows what there is.",
        epilog=EXITS,
    )
    groups = {"": parser.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for word, (module, says) in MODULES.items():
        if module != asked:
            groups[""].add_parser(word, help=says)
    for name, (function, options) in commands.items():
        group, _, short = name.rpartition(" ")
        if group not in groups:
            over = groups[""].add_parser(group, help=MODULES[group][1])
            groups[group] = over.add_subparsers(required=True, metavar="COMMAND")
        says = (function.__doc__ or "").splitlines()[0]
        command = groups[group].add_parser(
            short, help=says if group else MODULES[short][1], description=says, epilog=EXITS
        )
        command.set_defaults(run=function)
        options(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words).parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign shows its number
    try:
        code = options.run(Path.cwd(), options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except RecipeError as error:
        print(error, file=sys.stderr)
        code = 3
    except PunieError as error:
        print(error, file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        code = 2
    sys.exit(code)
