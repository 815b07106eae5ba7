"""The command `import`: a recipe from the configuration of another trainer.

punie-build import lora.yaml             mlx-lm or axolotl, told apart by their keys
punie-build import train.py              a script with unsloth or TRL; it is parsed, not run
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from punie_build.cli.options import Command, Options, print_next
from punie_build.errors import UseError
from punie_build.recipes.foreign import registry
from punie_build.runtime.program import build_command


def import_config(root: Path, options: Options) -> int:
    """Write a recipe from the configuration of mlx-lm, axolotl or unsloth. Each setting left out is named."""
    path = root / options.file
    name = options.name or recipe_name(path)
    target = root / "recipes" / f"{name}.toml"
    if target.exists():
        raise UseError(f"recipes/{target.name}: exists - choose another --name, or remove it")
    steps = write(path, options.format, name, target, options.file)
    return print_next(*steps, "punie-build plan", f"{build_command()} adapter:{name}")


def write(path: Path, form: str | None, name: str, target: Path, origin: str) -> list[str]:
    """Write the recipe of a configuration, print its notes, and return the commands that complete it."""
    form, config = registry.read(path, form)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(registry.recipe_text(name, config, f"{origin} ({form})"), encoding="utf-8")
    print(f"recipes/{target.name}: written from {form}")
    for note in config.notes:
        print(f"note: {note}")
    tables = config.tables(name)
    if not config.data:
        print(f"note: no data are named - add [dataset.{name}] with a source")
    elif "repo" in tables.dataset[name]["source"]:
        print(f"note: dataset.{name}: add the commit of {config.data} as `revision` of its source")
    return [f"punie-build pin {base}" for base, table in tables.base.items() if "hub" in table]


def recipe_name(path: Path) -> str:
    """Return a name for recipes from the name of a file."""
    return re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_") or "imported"


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a YAML file of mlx-lm or axolotl, or a Python script")
    command.add_argument("--from", dest="format", choices=registry.FORMATS, help="default: told by the content")
    command.add_argument("--name", metavar="NAME", help="name of the recipe and its adapter; default: that of the file")


COMMANDS: dict[str, Command] = {"import": (import_config, _options)}
