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
    text = json.dumps(recipe_schema(KINDS), indent=1, sort_keys=True)
    if options.into:
        Path(options.into).write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return 0


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--into", metavar="FILE", help="write the schema to this file")


COMMANDS: dict[str, Command] = {"schema": (schema, _options)}
