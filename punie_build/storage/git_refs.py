"""Branches: the locks that git knows on any branch or tag, so that what they name is not collected."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from punie_build.errors import UseError
from punie_build.storage import paths
from punie_build.storage.locks import Lock, decode

REFS = ("refs/heads", "refs/remotes", "refs/tags", "refs/stash")


def locks(root: Path) -> Iterator[Lock]:
    """Every lock of every branch, remote branch, tag and the stash. None where there is no git.

    Raises UseError if there is, and it does not answer: then nobody knows what must stay.
    """
    format_ = "--format=%(objecttype)%(*objecttype) %(refname)"
    refs = [
        line.split()[1]
        for line in _git(root, "for-each-ref", format_, *REFS).decode().splitlines()
        if "commit " in line
    ]
    blobs = {
        entry.split()[2].decode()
        for ref in refs
        for entry in _git(root, "ls-tree", "-r", "-z", ref, "--", *dict.fromkeys(paths.FOLDERS.values())).split(b"\0")
        if entry.endswith(paths.LOCK.encode())
    }
    for blob in sorted(blobs):
        if lock := decode(_git(root, "cat-file", "blob", blob)):
            yield lock


def _git(root: Path, *arguments: str) -> bytes:
    """What git says; nothing where there is no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607
    except OSError as error:
        reason = str(error)
    else:
        if done.returncode == 0:
            return done.stdout
        reason = (done.stderr.decode(errors="replace").splitlines() or ["it failed"])[0]
    place = root.resolve()
    if any((folder / ".git").exists() for folder in (place, *place.parents)):
        raise UseError(f"git {arguments[0]}: {reason} - mend that first: it is not known what the branches need")
    return b""
