"""The command line of `punie-build`. Builds themselves run through doit; the commands are listed in `registry`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from punie_build import __version__
from punie_build.cli.options import Command
from punie_build.cli.registry import MODULES
from punie_build.errors import PunieError, RecipeError

EXIT_CODES = "Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes."


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands. Those of modules that are not imported have no options."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    requested, _ = MODULES.get(word, ("", ""))
    commands: dict[str, Command] = import_module(f"punie_build.cli.{requested}").COMMANDS if requested else {}
    parser = argparse.ArgumentParser(
        prog="punie-build",
        description="Commands beside doit. `doit` builds, `doit list` shows all artifacts.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"punie-build {__version__}")
    groups = {"": parser.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for name, (module, text) in MODULES.items():
        if module != requested:
            groups[""].add_parser(name, help=text)
    for name, (function, options) in commands.items():
        group, _, short = name.rpartition(" ")
        if group not in groups:
            parent = groups[""].add_parser(group, help=MODULES[group][1])
            groups[group] = parent.add_subparsers(required=True, metavar="COMMAND")
        text = (function.__doc__ or "").splitlines()[0]
        command = groups[group].add_parser(
            short, help=text if group else MODULES[short][1], description=text, epilog=EXIT_CODES
        )
        command.set_defaults(run=function)
        options(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words).parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without a character shows its number
    try:
        code = options.run(Path.cwd(), options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `| head` closed the pipe
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
