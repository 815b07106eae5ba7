"""The commands that messages name: those that are installed where people can type them."""

from __future__ import annotations

import shutil
import sys
from pathlib import PurePath


def build_command() -> str:
    """Return how a build is started here: `doit`, or `punie-build build` where doit is not on the path.

    `uv tool install` and pipx put only our own command there.
    """
    is_doit = PurePath(sys.argv[0]).stem == "doit" if sys.argv else False
    return "doit" if is_doit or shutil.which("doit") else "punie-build build"
