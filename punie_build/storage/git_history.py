"""Locks in the history of git, read without a checkout: no hook, filter, pager or program of the repository runs.

A lock of the past is read leniently: its metrics and its recipe are of interest, not whether it is valid today.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.errors import UseError
from punie_build.storage import paths

QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "log.showSignature=false")
ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


class Revision(Struct, frozen=True, kw_only=True):
    """A commit: `time` in seconds since 1970, `title` the first line of its message."""

    commit: str
    time: int
    title: str


class PastFacts(Struct, frozen=True, kw_only=True):
    """The parts of a lock that decided an artifact of the past."""

    recipe: dict[str, Any] = {}
    code: str = ""
    inputs: dict[str, str] = {}
    tools: dict[str, str] = {}


class PastLock(Struct, frozen=True, kw_only=True):
    """The parts of a lock that history shows."""

    key: str = ""
    facts: PastFacts = PastFacts()
    metrics: dict[str, float] = field(default_factory=dict)


def revision(root: Path, name: str) -> Revision:
    """Return the commit of a revision. Raise UseError if there is none."""
    commit = run(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", may_fail=True)
    if not commit.strip():
        raise UseError(f"{name}: no commit of this name - name a branch, a tag or a commit")
    [entry] = _log(root, commit.decode().strip(), "-1")
    return entry


def last_tag(root: Path) -> Revision:
    """Return the commit of the last tag before or at HEAD. Raise UseError if there is none."""
    name = run(root, "describe", "--tags", "--abbrev=0", "HEAD", may_fail=True).decode().strip()
    if not name:
        raise UseError("no tag before this commit - name a revision, or tag one: git tag v1")
    return msgspec.structs.replace(revision(root, name), title=name)


def revisions(root: Path, target: str, most: int) -> list[Revision]:
    """Return the commits that changed the lock of a target, the oldest first, and at most the last `most`."""
    return _log(root, "HEAD", f"--max-count={most}", "--", paths.lock(target))[::-1]


def _log(root: Path, start: str, *arguments: str) -> list[Revision]:
    text = run(root, "log", "--format=%H%x00%ct%x00%s%x00", start, *arguments).decode(errors="replace")
    parts = [part.lstrip("\n") for part in text.split("\0")]
    return [
        Revision(commit=commit, time=int(time), title=title)
        for commit, time, title in zip(parts[0::3], parts[1::3], parts[2::3], strict=False)
    ]


def locks_at(root: Path, commit: str, folders: Iterable[str]) -> dict[str, PastLock | None]:
    """Return the locks of a commit by target; None for a file that is no lock."""
    listed = run(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", *dict.fromkeys(folders))
    names = [name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name.endswith(b".lock.json")]
    targets = [name.removesuffix(paths.LOCK) for name in names]
    read = read_locks(root, [(commit, target) for target in targets])
    return {target: lock for target, (_, lock) in zip(targets, read, strict=True)}


def read_locks(root: Path, places: Iterable[tuple[str, str]]) -> Iterator[tuple[bool, PastLock | None]]:
    """Yield whether there is a file, and its lock, for each (commit, target); None for a file that is no lock."""
    prefix = run(root, "rev-parse", "--show-prefix").decode(errors="surrogateescape").strip("\n")
    names = [f"{commit}:{prefix}{paths.lock(target)}" for commit, target in places]
    names = [name.replace("\n", "") for name in names]
    content = run(root, "cat-file", "--batch", text="\n".join([*names, ""]).encode(errors="surrogateescape"))
    position = 0
    for _ in names:
        end = content.index(b"\n", position)
        header = content[position:end].split(b" ")
        position = end + 1
        if header[-1] == b"missing" or header[-2] != b"blob":
            yield False, None
            continue
        size = int(header[-1])
        yield True, decode(content[position : position + size])
        position += size + 1


def decode(text: bytes) -> PastLock | None:
    """Return the lock of a text; None if it is none."""
    try:
        return msgspec.json.decode(text, type=PastLock)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def run(
    root: Path, *arguments: str, text: bytes | None = None, may_fail: bool = False, seconds: float | None = None
) -> bytes:
    """Return the output of git. Raise UseError if it fails, unless it `may_fail`, or takes longer than `seconds`."""
    environment: Mapping[str, str] = {**os.environ, **ENVIRONMENT}
    command = ["git", "--no-pager", *QUIET, *arguments]
    try:
        process = subprocess.run(
            command, cwd=root, input=text, capture_output=True, check=False, env=environment, timeout=seconds
        )
    except OSError as error:
        raise UseError(f"git: {error.strerror} - install git") from None
    except subprocess.TimeoutExpired:
        raise UseError(f"git {arguments[0]}: takes longer than {seconds:g} s - try it by hand") from None
    if process.returncode and not may_fail:
        reason = (process.stderr.decode(errors="replace").splitlines() or ["it failed"])[0]
        raise UseError(f"git {arguments[0]}: {reason} - run this in a repository of git with commits")
    return b"" if process.returncode else process.stdout
