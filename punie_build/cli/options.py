"""The shape of a command, and the options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from punie_build.errors import UseError, did_you_mean
from punie_build.models import locate
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.schema.validation import mistakes
from punie_build.storage import paths

if TYPE_CHECKING:
    from punie_build.data.dialects.columns import Layout

Options = argparse.Namespace
Command = tuple[Callable[[Path, Options], int], Callable[[argparse.ArgumentParser], None]]
TARGET = "a name as `doit list` shows it, such as adapter:quickstart"


def target(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help=TARGET)


def targets(command: argparse.ArgumentParser) -> None:
    command.add_argument("targets", nargs="*", metavar="TARGET", help=f"{TARGET}; none: everything")


def nothing(_command: argparse.ArgumentParser) -> None:
    """A command without options."""


def base_folder(root: Path, name: str, flag: str = "--base") -> Path:
    """The folder of a base: a model's folder, `nano`, a base of the recipes, or `org/name@commit` of the Hub."""
    if (root / name / "tokenizer.json").exists():
        return root / name
    if name == "nano":
        return paths.nano()
    if "@" in name:
        repo, _, commit = name.partition("@")
        table = {"hub": repo, "revision": commit}
        if problems := list(mistakes(table, Base, f"{flag} {name}")):
            raise UseError("\n".join(problems))
        return locate.locate(root, msgspec.convert(table, Base))
    known = {entry.name: entry.spec for entry in Project.load(root).recipe.of_kind("base")}
    if name not in known:
        raise UseError(f"{flag} {name}: no base is called so, and no model's folder{did_you_mean(name, known)}")
    return locate.locate(root, known[name])


def place_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("place", help="a file or folder")
    dialect_option(command)


def dialect_option(command: argparse.ArgumentParser) -> None:
    from punie_build.data.dialects import normalize

    command.add_argument(
        "--dialect", choices=("auto", *normalize.NAMES), default="auto", help="how conversations are written"
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
