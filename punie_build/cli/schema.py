"""The command `schema`: the JSON Schema of recipe files, for editors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from punie_build.artifacts.registry import KINDS
from punie_build.cli.options import Command, Options
from punie_build.recipes.json_schema import recipe_schema


def schema(_root: Path, options: Options) -> int:
    """Print the JSON Schema of recipe files, or write it to a file."""
    text = recipe_schema_text()
    if options.into:
        Path(options.into).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def recipe_schema_text() -> str:
    """Return the JSON Schema of recipe files of this version, with a newline at its end."""
    return json.dumps(recipe_schema(KINDS), indent=1, sort_keys=True) + "\n"


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--into", metavar="FILE", help="write the schema to this file")


COMMANDS: dict[str, Command] = {"schema": (schema, _options)}
