"""Settings of a project, from the table `[tool.punie-build]` of its `pyproject.toml`. They enter no key.

    [tool.punie-build]
    store = "s3://bucket/punie"
    store_options = { endpoint_url = "..." }     # passed to fsspec as they are

The environment variable `PUNIE_BUILD_STORE` overrides `store`; if it is empty, there is no shared store.
"""

from __future__ import annotations

import os
import re
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
    """The settings. `store`: the URL of the shared store. `store_options`: options of its fsspec file system."""

    store: str | None = None
    store_options: dict[str, Any] = field(default_factory=dict)


def load(root: Path) -> Settings:
    """Return the settings of a project. Raise RecipeError if `[tool.punie-build]` has mistakes."""
    return _read(root, os.environ.get("PUNIE_BUILD_STORE"))


@cache
def _read(root: Path, store: str | None) -> Settings:
    path = root / "pyproject.toml"
    table: dict[str, Any] = {}
    if path.exists():
        import tomllib

        try:
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("punie-build", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError([f"pyproject.toml: not TOML: {error}"]) from None
    if problems := list(mistakes(table, Settings, "pyproject.toml: tool.punie-build")):
        raise RecipeError(problems)
    settings = msgspec.convert(table, Settings)
    where = "pyproject.toml: tool.punie-build.store"
    if store is not None:
        settings, where = msgspec.structs.replace(settings, store=store or None), "PUNIE_BUILD_STORE"
    if settings.store is not None and not URL.fullmatch(settings.store):
        raise RecipeError(
            [f"{where}: '{settings.store}' is not a URL - write it as s3://bucket/folder or file:///folder"]
        )
    return settings
