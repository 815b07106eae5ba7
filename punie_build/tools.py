"""Tools: what an artifact's bytes depend on besides its recipe, its code and its inputs. Nothing is imported to say it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from msgspec import Struct

from punie_build import blas

COMPUTES = ("adapter", "eval")  # kinds whose numbers depend on mlx and on what it runs on


def of(kind: str, spec: Any) -> dict[str, str]:
    """Name -> version. A filter names the packages it asks in `TOOLS`; what computes with mlx names its device too."""
    found = {name: version(name) for name in sorted(set(_named(spec)))}
    if kind in COMPUTES:
        found |= {"mlx": version("mlx"), "mlx-lm": version("mlx-lm"), "device": device(), "blas": blas.identity()}
    return found


def device() -> str:
    return "metal" if sys.platform == "darwin" else "cpu"


def _named(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [name for item in value for name in _named(item)]
    if isinstance(value, Struct):
        inner = [name for field in value.__struct_fields__ for name in _named(getattr(value, field))]
        return [*getattr(type(value), "TOOLS", ()), *inner]
    return []


@cache
def version(package: str) -> str:
    if package == "python":  # its grammar decides what parses
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
