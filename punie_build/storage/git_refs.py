"""The locks on all branches and tags of git: a collection of the store keeps the files that they name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie_build.errors import UseError
from punie_build.storage import paths
from punie_build.storage.locks import Lock, decode

REFS = ("refs/heads", "refs/remotes", "refs/tags", "refs/stash")


def locks(root: Path, folders: Iterable[str]) -> Iterator[Lock]:
    """Yield every lock in these folders of every branch, remote branch, tag and the stash; none outside a repository.

    Raise UseError if git fails: then the files that must be kept are unknown.
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
        for entry in _git(root, "ls-tree", "-r", "-z", ref, "--", *dict.fromkeys(folders)).split(b"\0")
        if entry.endswith(paths.LOCK.encode())
    }
    for blob in sorted(blobs):
        if lock := decode(_git(root, "cat-file", "blob", blob)):
            yield lock


def _git(root: Path, *arguments: str) -> bytes:
    """Return the output of git; empty outside a repository."""
    try:
        process = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607
    except OSError as error:
        reason = str(error)
    else:
        if process.returncode == 0:
            return process.stdout
        reason = (process.stderr.decode(errors="replace").splitlines() or ["it failed"])[0]
    folder = root.resolve()
    if any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        raise UseError(
            f"git {arguments[0]}: {reason} - repair the repository first: the locks of its branches are unknown"
        )
    return b""
