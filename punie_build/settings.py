"""Settings: what a project says of itself, not of its artifacts: `[tool.punie-build]` in its `pyproject.toml`.

    [tool.punie-build]
    store = "s3://bucket/punie"
    store_options = { endpoint_url = "..." }     # handed to fsspec as they are

`PUNIE_BUILD_STORE` in the environment goes before `store`; empty, it means none. Settings enter no key.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from punie_build.errors import RecipeError
from punie_build.spec import Spec
from punie_build.validation import mistakes


class Settings(Spec, frozen=True, kw_only=True):
    """`store`: URL of a store to share. `store_options`: for fsspec."""

    store: Annotated[str, Meta(pattern=r"^[a-z0-9+.-]+://.+")] | None = None
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
    if store is not None:
        table = {**table, "store": store} if store else {}
    if problems := list(mistakes(table, Settings, "pyproject.toml: tool.punie-build")):
        raise RecipeError(problems)
    return msgspec.convert(table, Settings)
