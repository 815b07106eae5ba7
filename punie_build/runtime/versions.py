"""Tools: what an artifact's bytes depend on besides its recipe, its code and its inputs. Nothing is imported to say it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from punie_build.runtime import blas
from punie_build.schema.spec import structs

COMPUTES = ("adapter", "model", "answers")  # kinds whose numbers depend on mlx and on what it runs on


def of(kind: str, spec: Any) -> dict[str, str]:
    """Name -> version. A filter names the packages it asks in `TOOLS`; what computes with mlx names its device too."""
    asked = {name for value in structs(spec) for name in getattr(type(value), "TOOLS", ())}
    found = {name: version(name) for name in sorted(asked)}
    if kind == "tokens":
        found |= {name: version(name) for name in ("mlx-lm", "tokenizers", "transformers")}
    if kind in COMPUTES:
        found |= {"mlx": version("mlx"), "mlx-lm": version("mlx-lm"), "device": device(), "blas": blas.identity()}
    return found


def device() -> str:
    return "metal" if sys.platform == "darwin" else "cpu"


@cache
def version(package: str) -> str:
    if package == "python":  # its grammar decides what parses
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
