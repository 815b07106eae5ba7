"""The command `init`: a first recipe, and the files of a project around it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from punie_build import __version__
from punie_build.artifacts.registry import KINDS
from punie_build.cli import import_config
from punie_build.cli.options import Command, Options, print_next
from punie_build.cli.schema import recipe_schema_text
from punie_build.errors import UseError
from punie_build.runtime.program import build_command
from punie_build.storage import atomic, paths

SCHEMA = "recipe.schema.json"
RECIPE = """\
#:schema ../{schema}
# Each table describes an artifact; `doit` builds those that are out of date.

[dataset.mine]                  # rows as chat; the training, validation and test rows
source = {source}
split = {{ valid = 0.1, test = 0.1 }}

[stage.clean]                   # the rows that are good enough, and the reason of every dropped one
from = "mine"
filters = [
    {{ type = "ends-with-assistant" }},
    {{ type = "exact-dedup" }},
]

[adapter.v1]
base = "nano"                   # ships with punie-build; your own: [base.NAME] with hub = "org/name", and `pin NAME`
data = "clean"
iters = 100
learning_rate = 1e-4
lora = {{ rank = 8 }}
# gates = [{{ metric = "valid_loss", max = 2.0 }}]    # a limit that `punie-build check --gate` holds

# Cases of your own, with checks of the answers, tell whether v1 is better than its base:
# [suite.mine]
# file = "suites/mine.toml"
#
# [comparison.v1]
# arms = ["nano", "v1"]
# suite = "mine"
"""
DODO = """\
from punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts

__all__ = ["DOIT_CONFIG", "task_artifacts"]


def task_artifacts():
    yield from artifacts()
"""
AGENTS = """\
# For coding agents

This folder is a project of punie-build: `recipes/*.toml` describe datasets, adapters and evals, and each table is built
to a folder with a lock beside it.

- `punie-build plan` says what a build would do, and reports mistakes of the recipes; exit code 1: something is to do.
- `punie-build build NAME` builds an artifact and all that it needs; `punie-build why NAME` says why it would be built.
- `punie-build list --json`, `plan --json` and `show NAME --json` are for programs.
- Edit recipes and data, never files in `data/NAME/`, `adapters/NAME/` or `reports/`: they are built. Commit locks.
- A gate that fails is a result: report it, and do not loosen it.
"""
WORKFLOW = f"""\
name: artifacts
on: [push, pull_request]
permissions:
  contents: read

jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install --no-deps punie-build=={__version__} msgspec
      - run: punie-build check --gate --format github
"""


def init(root: Path, options: Options) -> int:
    """Write a first recipe, its schema, dodo.py, .gitignore and a workflow for CI. No file is overwritten."""
    project = root / options.folder
    source = '{ type = "sample", max_examples = 200 }   # synthetic; your own: { type = "local", path = "FILE" }'
    if options.data:
        data = os.path.relpath(root / options.data, project)
        if not (project / data).exists() or data.startswith(".."):
            raise UseError(f"--data {options.data}: no file or folder in {options.folder} - copy or link it into it")
        source = f'{{ type = "local", path = {json.dumps(data, ensure_ascii=False)} }}'
    steps: list[str] = []
    if options.config:  # before a file is written: it may be no configuration
        name = import_config.recipe_name(root / options.config)
        target = project / "recipes" / f"{name}.toml"
        if target.exists():
            raise UseError(f"recipes/{target.name}: exists - remove it first")
        steps = import_config.write(root / options.config, None, name, target, options.config)
    files = {
        "recipes/project.toml": RECIPE.format(source=source, schema=SCHEMA),
        SCHEMA: recipe_schema_text(),
        "dodo.py": DODO,
        ".gitignore": ignored_files(),
        ".github/workflows/artifacts.yml": WORKFLOW,
        "AGENTS.md": AGENTS,
    }
    if options.config:
        del files["recipes/project.toml"]
    for name, text in files.items():
        path = project / name
        if path.exists():
            print(f"{name}: exists, not changed")
            continue
        atomic.replace_file(path, text.encode())
        print(f"{name}: written")
    first = [f"cd {options.folder}"] if options.folder != "." else []
    return print_next(*first, *steps, *(["punie-build plan"] if steps or not first else []), build_command())


def ignored_files() -> str:
    """Return the .gitignore of a project: targets and pages are built, the locks beside them are committed."""
    folders = dict.fromkeys(kind.folder for kind in KINDS.values() if kind.folder)
    pages = (f"{Path(paths.INDEX).parent}/*.{ending}" for ending in ("html", "md"))
    return "\n".join([paths.STATE, ".doit.db*", "__pycache__/", *(f"{name}/*/" for name in folders), *pages, ""])


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DIR", nargs="?", default=".", help="the folder of the project (.)")
    command.add_argument("--data", metavar="FILE", help="a file or folder of conversations in it; default: synthetic")
    command.add_argument(
        "--from", dest="config", metavar="CONFIG", help="a recipe from a configuration of mlx-lm, axolotl or unsloth"
    )


COMMANDS: dict[str, Command] = {"init": (init, _options)}
