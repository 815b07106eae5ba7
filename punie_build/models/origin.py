"""Where a base comes from and under which license, as its recipe, its model card and its config say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.models import hub_download
from punie_build.models.locate import local_folder
from punie_build.models.spec import Base


class Origin(Struct, frozen=True, kw_only=True):
    """The model of the Hub that a base is, or was made from, and its license; "" if unknown."""

    base_model: str = ""
    license: str = ""


def read_origin(root: Path, base: Base) -> Origin:
    """Return the origin of a base. No file is downloaded."""
    if base.embedded:
        return Origin()
    folder = hub_download.snapshot(base.hub, str(base.revision)) if base.hub else local_folder(root, base)
    card = _front_matter(folder / "README.md") if folder else {}
    config = _decoded(folder / "config.json") if folder else {}
    models = (base.base_model, base.hub, card.get("base_model"))
    licenses = (base.license, card.get("license"), config.get("license"))
    return Origin(base_model=_first(models), license=_first(licenses))


def _first(values: tuple[Any, ...]) -> str:
    """Return the first text among these values; a model card may have a list of base models."""
    texts = (value[0] if isinstance(value, list) and value else value for value in values)
    return next((text for text in texts if isinstance(text, str) and text), "")


def _front_matter(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = msgspec.yaml.decode(text.split("---\n")[1]) if text.startswith("---\n") else {}
    except (OSError, ValueError, IndexError):
        return {}
    return content if isinstance(content, dict) else {}


def _decoded(path: Path) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
