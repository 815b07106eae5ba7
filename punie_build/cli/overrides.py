"""`build --set adapter.v1.iters=20`: an entry with other values, under a name of its own.

The entry is written to `recipes/overrides.toml`, a recipe file like any other: the artifact can be compared, listed and
served, and the one that it comes from stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from punie_build.errors import UseError, did_you_mean
from punie_build.recipes import python_recipes
from punie_build.recipes.recipe_files import recipe_files
from punie_build.schema.spec import digest
from punie_build.storage import atomic, project_file

FILE = "recipes/overrides.toml"
HEADER = "# Written by `punie-build build --set`. Tables that are of no more use can be removed."
MAX_NAME = 64
Table = dict[str, Any]


def write(root: Path, settings: Sequence[str]) -> list[str]:
    """Write the entries that `KIND.NAME.FIELD=VALUE` describe, and return their labels. Raises UseError."""
    changes: dict[tuple[str, str], dict[str, Any]] = {}
    for setting in settings:
        (kind, name, field), value = _parse(setting)
        changes.setdefault((kind, name), {})[field] = value
    recipes = _read(root)
    labels = []
    for (kind, name), fields in changes.items():
        entries = {key: table for tables in recipes.values() for key, table in tables.get(kind, {}).items()}
        if not isinstance(entries.get(name), dict):
            raise UseError(f"--set {kind}.{name}: no such table in the recipes{did_you_mean(name, entries)}")
        table = entries[name]
        for field, value in fields.items():
            table = _with(table, field.split("."), value)
        derived = _name(name, fields)
        recipes.setdefault(FILE, {}).setdefault(kind, {})[derived] = table
        labels.append(f"{kind}:{derived}")
    text = python_recipes.encode(recipes[FILE], HEADER)
    atomic.replace_file(root / FILE, text.encode())
    return labels


def _parse(setting: str) -> tuple[tuple[str, str, str], Any]:
    """Return ((kind, name, field), value) of `KIND.NAME.FIELD=VALUE`. A value that is no TOML is text."""
    path, equals, text = setting.partition("=")
    match = re.fullmatch(r"(\w+)\.(\"[^\"]+\"|[\w-]+)\.([\w.-]+)", path.strip())
    if not equals or not match:
        raise UseError(f"--set {setting}: not KIND.NAME.FIELD=VALUE - write it as adapter.v1.iters=20")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return (match[1], match[2].strip('"'), match[3]), value


def _read(root: Path) -> dict[str, dict[str, dict[str, Table]]]:
    """Return the tables of all recipe files: file -> kind -> name -> table."""
    recipes = {}
    for label, path in recipe_files(root).items():
        try:
            recipes[label] = project_file.read_toml(path)
        except (OSError, ValueError) as error:
            raise UseError(f"{label}: {error}") from None
    return recipes


def _with(table: Mapping[str, Any], path: Sequence[str], value: Any) -> Table:
    """Return a table with another value at a path of keys."""
    first, *rest = path
    inner = table.get(first)
    return {**table, first: _with(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}


def _name(name: str, fields: Mapping[str, Any]) -> str:
    """Return the name of the derived entry, such as `v1.iters-20`."""
    parts = [f"{field.rpartition('.')[2]}-{value}" for field, value in fields.items()]
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", ".".join([name, *parts])).strip("-.")
    text = re.sub(r"\.{2,}", ".", text)
    return text if len(text) <= MAX_NAME else f"{name[: MAX_NAME - 9]}.{digest(dict(fields))[:8]}"
