"""Versions of packages and the device that an artifact's bytes depend on, beside recipe, code and inputs.

The packages themselves are not imported.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from punie_build.runtime import blas
from punie_build.schema.spec import structs

MLX_KINDS = ("adapter", "model", "answers")  # kinds whose numbers depend on mlx and on its backend


def for_kind(kind: str, spec: Any) -> dict[str, str]:
    """Return name -> version. A filter names its packages in `PACKAGES`; kinds computed by mlx name the device too."""
    packages = {name for value in structs(spec) for name in getattr(type(value), "PACKAGES", ())}
    result = {name: version(name) for name in sorted(packages)}
    if kind == "tokens":
        result |= {name: version(name) for name in ("mlx-lm", "tokenizers", "transformers")}
    if kind in MLX_KINDS:
        result |= {"mlx": version("mlx"), "mlx-lm": version("mlx-lm"), "device": device(), "blas": blas.name()}
    return result


def device() -> str:
    """Return the device that mlx computes on here."""
    return "metal" if sys.platform == "darwin" else "cpu"


@cache
def version(package: str) -> str:
    """Return the version of an installed package, or "absent"; of "python" its minor version."""
    if package == "python":  # its grammar decides what parses
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
