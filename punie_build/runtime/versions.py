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
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return "absent"
    for line in (distribution.read_text("METADATA") or "").splitlines():
        if line.startswith("Version: "):  # `distribution.version` reads the whole description as an e-mail, in 10 ms
            return line.removeprefix("Version: ").strip()
    return distribution.version
