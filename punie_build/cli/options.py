"""The type of a command, and the parts that several commands share: options, bases, output folders, hints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from punie_build.artifacts.base import BASE
from punie_build.cli.hub_commit import with_commit
from punie_build.errors import UseError, did_you_mean
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.schema.validation import mistakes
from punie_build.storage import atomic, paths

if TYPE_CHECKING:
    from punie_build.data.dialects.columns import Layout

Options = argparse.Namespace
Command = tuple[Callable[[Path, Options], int], Callable[[argparse.ArgumentParser], None]]
TARGET = "a label as `doit list` prints it, such as adapter:quickstart, or its name alone"
LOGS = f"{paths.STATE}/logs/by-hand"  # logs of commands that work without a recipe


def target(command: argparse.ArgumentParser) -> None:
    """Add the argument TARGET."""
    command.add_argument("target", metavar="TARGET", help=TARGET)


def targets(command: argparse.ArgumentParser) -> None:
    """Add any number of arguments TARGET."""
    command.add_argument("targets", nargs="*", metavar="TARGET", help=f"{TARGET}; default: all artifacts")


def json_option(command: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def print_json(value: object) -> None:
    """Print a value as JSON of several lines; Structs are objects."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())


def target_json(command: argparse.ArgumentParser) -> None:
    """Add the argument TARGET and the option `--json`."""
    target(command)
    json_option(command)


def targets_json(command: argparse.ArgumentParser) -> None:
    """Add any number of arguments TARGET and the option `--json`."""
    targets(command)
    json_option(command)


def no_options(_command: argparse.ArgumentParser) -> None:
    """Add no option."""


def path_argument(command: argparse.ArgumentParser) -> None:
    """Add the argument PATH of a dataset, and its dialect."""
    command.add_argument("path", metavar="PATH", help="a file or folder")
    dialect_option(command)


def dialect_option(command: argparse.ArgumentParser) -> None:
    """Add the option `--dialect`."""
    from punie_build.data.dialects import normalize

    command.add_argument(
        "--dialect",
        choices=("auto", *normalize.NAMES),
        default="auto",
        help="the format of the conversations; default: detect it row by row",
    )
    command.add_argument(
        "--unreadable", choices=("error", "drop"), default="error", help="what to do with rows that cannot be read"
    )
    command.add_argument(
        "--columns", action="append", metavar="KEY=ROLE", help="the role of a column: --columns question=user"
    )
    command.add_argument("--template", default="", help="the user's text, with {column} replaced")
    command.add_argument(
        "--form",
        choices=("chat", "text", "preference"),
        default="chat",
        help="raw text, or pairs of answers, instead of conversations",
    )


def output_option(command: argparse.ArgumentParser) -> None:
    """Add the required option `--output`."""
    command.add_argument("--output", "-o", metavar="DIR", required=True, help="the folder to write")


def base_folder(root: Path, name: str, flag: str = "--base") -> Path:
    """Return the folder of a base: a folder with a model, `nano`, a base of the recipes, or `org/name@commit` (without
    a commit, the latest one).

    Raises UseError if there is no such base. `flag` is the option or argument that messages name.
    """
    from punie_build.models import locate

    if (root / name / "tokenizer.json").exists():
        return root / name
    name = name.removeprefix(f"{BASE.name}:")
    if name == "nano":
        return paths.nano()
    name = with_commit(root, name)
    if "@" in name:
        repo, _, commit = name.partition("@")
        table = {"hub": repo, "revision": commit}
        if problems := list(mistakes(table, Base, f"{flag} {name}")):
            raise UseError("\n".join(problems))
        return locate.locate(root, msgspec.convert(table, Base))
    recipe = Project.load(root).recipe if (root / "recipes").exists() else None
    bases = {entry.name: entry.spec for entry in recipe.of_kind(BASE.name)} if recipe else {}
    if name not in bases:
        hint = did_you_mean(name, {"nano", *bases})
        raise UseError(f"{flag} {name}: no base of this name, and no folder with a model{hint}")
    return locate.locate(root, bases[name])


@contextmanager
def output_folder(root: Path, name: str, marker: str = "stats.json") -> Iterator[Path]:
    """Yield an empty folder that is moved to `root/name` at the end, if no error occurred.

    Raises UseError if the folder exists, is not empty, and has no file `marker`: it was not written by this command.
    """
    import shutil
    import tempfile

    folder = root / name
    if folder.exists() and not (folder / marker).exists() and any(folder.iterdir()):
        raise UseError(f"{name}: the folder exists and was not written by punie-build - choose another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield staging
        staging.chmod(0o755)
        atomic.replace_folder(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def layout_of(options: Options) -> Layout:
    """Return how the records are laid out, from `--columns`, `--template` and `--form`. Raises UseError."""
    from punie_build.data.dialects.columns import ColumnRole, Layout

    columns = {}
    for text in options.columns or ():
        key, _, role = text.rpartition("=")
        if not key or role not in get_args(ColumnRole):
            raise UseError(f"--columns {text}: not KEY=ROLE - the roles are {', '.join(get_args(ColumnRole))}")
        columns[key] = role
    return Layout(columns, options.template, options.form)


def print_next(*commands: str) -> int:
    """Print commands that may follow this one to standard error. Return the exit code 0."""
    print("next: " + "\n      ".join(commands), file=sys.stderr)
    return 0
