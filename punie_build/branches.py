"""Branches: the locks that git knows on any branch or tag, so that what they name is not collected."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from punie_build import layout
from punie_build.locks import Lock, decode


def locks(root: Path) -> Iterator[Lock]:
    """Every lock of every branch, remote branch and tag. None where there is no git."""
    refs = _git(root, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/tags").split()
    blobs = {
        line.split()[2]
        for ref in refs
        for line in _git(root, "ls-tree", "-r", ref, "--", *dict.fromkeys(layout.FOLDERS.values())).splitlines()
        if line.endswith(layout.LOCK)
    }
    for blob in sorted(blobs):
        if lock := decode(_git(root, "cat-file", "blob", blob).encode()):
            yield lock


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
