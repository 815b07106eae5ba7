"""Settings: what a project says of itself, not of its artifacts: `[tool.punie-build]` in its `pyproject.toml`.

    [tool.punie-build]
    store = "s3://bucket/punie"
    store_options = { endpoint_url = "..." }     # handed to fsspec as they are

`PUNIE_BUILD_STORE` in the environment goes before `store`; empty, it means none. Settings enter no key.
"""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import field

from punie_build.errors import RecipeError
from punie_build.schema.spec import Spec
from punie_build.schema.validation import mistakes

URL = re.compile(r"[a-z0-9+.-]+://.+")


class Settings(Spec, frozen=True, kw_only=True):
    """`store`: URL of a store to share. `store_options`: for fsspec."""

    store: str | None = None
    store_options: dict[str, Any] = field(default_factory=dict)


def of(root: Path) -> Settings:
    """The settings of a project. Raises RecipeError if `[tool.punie-build]` has mistakes."""
    return _read(root, os.environ.get("PUNIE_BUILD_STORE"))


@cache
def _read(root: Path, store: str | None) -> Settings:
    path = root / "pyproject.toml"
    table: dict[str, Any] = {}
    if path.exists():
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("punie-build", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError([f"pyproject.toml: not TOML: {error}"]) from None
    if problems := list(mistakes(table, Settings, "pyproject.toml: tool.punie-build")):
        raise RecipeError(problems)
    found = msgspec.convert(table, Settings)
    where = "pyproject.toml: tool.punie-build.store"
    if store is not None:
        found, where = msgspec.structs.replace(found, store=store or None), "PUNIE_BUILD_STORE"
    if found.store is not None and not URL.fullmatch(found.store):
        raise RecipeError([f"{where}: '{found.store}' is no URL - such as s3://bucket/folder or file:///folder"])
    return found
