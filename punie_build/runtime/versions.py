"""Versions of packages and the device that an artifact's bytes depend on, beside recipe, code and inputs.

The packages themselves are not imported.
"""

from __future__ import annotations

import sys
from functools import cache


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
