"""The command line of `punie-build`. Builds themselves run through doit; the commands are listed in `registry`."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from punie_build import __version__
from punie_build.cli.registry import MODULES
from punie_build.errors import PunieError, RecipeError, UseError, did_you_mean, os_error, printable_lines
from punie_build.recipes.recipe_files import has_recipes
from punie_build.runtime import garbage

if TYPE_CHECKING:
    from punie_build.cli.options import Command

EXIT_CODES = (
    "Exit codes: 0 fine, 1 something is stale, 2 wrong use or something broken, 3 mistakes in the recipes, "
    "4 a bug of punie-build."
)
NAMES = ("command", "target", "repo", "first", "second")  # options that are no path, even if a file has this name
ANYWHERE = frozenset(["dataset", "metrics", "schema", "init", "compare", "docs", "verify"])  # they work in any folder
OUTPUTS = ("output", "into")  # options that are a path, even if no file has this name


class Parser(argparse.ArgumentParser):
    """A parser that answers an unknown command with a similar one, not with the list of all."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake of the command line, and exit with 2."""
        if match := re.fullmatch(r"argument COMMAND: invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL):
            similar = did_you_mean(match[1], (word.strip("'") for word in match[2].split(", ")))
            advice = similar if "did you mean" in similar else f" - `{self.prog} --help` lists them"
            self.exit(2, f"{printable_lines(f'{match[1]}: no such command{advice}')}\n")
        super().error(message)


def _shared_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that may stand anywhere in a command line."""
    parser.add_argument("-C", dest="directory", metavar="DIR", help="run in this folder; default: the current one")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    return parser


def parser_of(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands. Those of modules that are not imported have no options."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    requested, _ = MODULES.get(word, ("", ""))
    commands: dict[str, Command] = import_module(f"punie_build.cli.{requested}").COMMANDS if requested else {}
    parser = Parser(
        prog="punie-build",
        description="Commands beside doit. `doit` builds, `doit list` shows all artifacts.",
        epilog=EXIT_CODES,
    )
    _shared_options(parser)
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
    if arguments is None:
        garbage.collect_rarely()
    early = _shared_options(argparse.ArgumentParser("punie-build", add_help=False, allow_abbrev=False))
    shared, words = early.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without a character shows its number
    try:
        if shared.directory:
            if not os.path.isdir(shared.directory):
                raise UseError(f"-C {shared.directory}: no such folder - name one that exists")
            os.chdir(shared.directory)
        options = parser_of(words).parse_args(words)
        if options.command not in ANYWHERE:
            _enter_project(options)
        code = options.run(Path.cwd(), options)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if shared.debug:
            import traceback

            traceback.print_exception(error)
        code, text = failure(error)
        print(printable_lines(text), end="\n" if text else "", file=sys.stderr)
    sys.exit(code)


def failure(error: BaseException) -> tuple[int, str]:
    """Return the exit code of a command that raised this, and its message."""
    match error:
        case KeyboardInterrupt():
            return 130, ""
        case BrokenPipeError():  # `| head` closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0, ""
        case PunieError():
            return 3 if isinstance(error, RecipeError) else 2, str(error)
        case ImportError(name=str(name)) if not name.startswith(__name__.partition(".")[0]):
            package = name.partition(".")[0]
            return 2, f"{package}: not installed - pip install '{distribution_with(package)}'"
        case OSError():
            return 2, os_error(error, "the system")
    return 4, f"{type(error).__name__}: {error}\nthis is a bug of punie-build - report it with the output of --debug"


def distribution_with(package: str) -> str:
    """Return the requirement that installs a package: punie-build, with an extra if only that asks for the package."""
    from importlib import metadata

    requirement = re.compile(rf"{re.escape(package)}\b.*extra == ['\"](?!dev)(\w+)", re.IGNORECASE)
    try:
        requirements = metadata.requires("punie-build") or []
    except metadata.PackageNotFoundError:  # runs from a folder, and is not installed
        requirements = []
    extras = [match[1] for line in requirements if (match := requirement.match(line))]
    return f"punie-build[{extras[0]}]" if extras else "punie-build"


def _enter_project(options: argparse.Namespace) -> None:
    """Change to the folder of the project around this one, and name the paths among the options from there."""
    folder = Path.cwd()
    root = project_root(folder)
    if root == folder:
        return
    for name, value in vars(options).items():
        is_path = isinstance(value, str) and name not in NAMES and (name in OUTPUTS or Path(value).exists())
        if value and is_path:
            setattr(options, name, os.path.relpath(value, root))
    print(f"project: {os.path.relpath(root)}", file=sys.stderr)
    os.chdir(root)


def project_root(folder: Path) -> Path:
    """Return the nearest folder with recipes or settings of punie-build, upwards from a folder; else the folder."""
    for parent in (folder, *folder.parents):
        if has_recipes(parent) or _has_settings(parent / "pyproject.toml"):
            return parent
    return folder


def _has_settings(path: Path) -> bool:
    return path.is_file() and b"[tool.punie-build" in path.read_bytes()
