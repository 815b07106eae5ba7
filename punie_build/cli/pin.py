"""The command `pin`: write the commit of a base into its recipe.

punie-build pin qwen                        the latest commit of its repository
punie-build pin qwen --revision v2.0        the commit of a branch or a tag
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path
from typing import Any

from punie_build.cli.hub_commit import commit_of
from punie_build.cli.options import Command, Options
from punie_build.errors import UseError, did_you_mean
from punie_build.recipes.recipe_files import recipe_files
from punie_build.storage import atomic, project_file


def pin(root: Path, options: Options) -> int:
    """Write the commit of a Hub base, by default the latest one, as `revision` into its recipe."""
    path, table = _table(root, options.name)
    commit = commit_of(table["hub"], revision=options.revision)
    text, old = path.read_text(encoding="utf-8"), table.get("revision")
    new = pinned(text, options.name, commit)
    if tomllib.loads(new)["base"][options.name].get("revision") != commit:
        raise UseError(
            f'{path.name}: base.{options.name}: it has no line of its own - write revision = "{commit}" there'
        )
    atomic.replace_file(path, new.encode())
    was = "unchanged" if old == commit else f"was {old}" if old else "new"
    print(f'{path.relative_to(root).as_posix()}: base.{options.name}: revision = "{commit}" ({was})')
    return 0


def pinned(text: str, name: str, commit: str) -> str:
    """Return the text of a recipe file with this revision in the table of a base; all else stays as it is."""
    head = re.search(rf"^\[base\.(\"?){re.escape(name)}\1\][^\n]*\n", text, re.MULTILINE)
    if not head:
        return text
    end = re.search(r"^\s*\[", text[head.end() :], re.MULTILINE)
    body = text[head.end() : head.end() + end.start()] if end else text[head.end() :]
    line = f'revision = "{commit}"'
    changed, count = re.subn(r"^revision\s*=\s*(\"[^\"\n]*\"|'[^'\n]*')", line, body, count=1, flags=re.MULTILINE)
    if not count:
        changed = re.sub(r"^(hub\s*=[^\n]*)", rf"\g<1>\n{line}", body, count=1, flags=re.MULTILINE)
    return text[: head.end()] + changed + text[head.end() + len(body) :]


def _table(root: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the recipe file of a base, and its table. A base without a revision is no valid recipe yet."""
    bases: dict[str, tuple[Path, dict[str, Any]]] = {}
    for label, path in recipe_files(root).items():
        try:
            tables = project_file.read_toml(path).get("base")
        except (OSError, ValueError) as error:
            raise UseError(f"{label}: {error}") from None
        bases |= {key: (path, table) for key, table in (tables or {}).items() if isinstance(table, dict)}
    if name not in bases:
        raise UseError(f"{name}: no base of this name in the recipes{did_you_mean(name, bases)}")
    if not isinstance(bases[name][1].get("hub"), str):
        raise UseError(f"{name}: not a base of the Hub - only those have a revision")
    return bases[name]


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the name of a base of the recipes")
    command.add_argument("--revision", default="main", metavar="REF", help="a branch, a tag or a commit (main)")


COMMANDS: dict[str, Command] = {"pin": (pin, _options)}
