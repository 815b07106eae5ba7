"""Build records: when, at which commit and on which machine a target was made, for people.

They are in `.punie/builds`, in no lock, no key and no target: the same recipe gives the same bytes anywhere, and a
record may be lost. One of a target has its last `MAX_KEPT` results, so a restored result has the record of its
making."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build import __version__
from punie_build.errors import UseError
from punie_build.storage import paths, sealed_file

MAX_KEPT = 20  # results of one target
GIT_SECONDS = 5  # that a build waits for git


class Commit(Struct, frozen=True):
    """The commit of a project, "" outside a repository, and whether files of it, or recipes, differ from it."""

    name: str = ""
    is_changed: bool = False


class BuildRecord(Struct, frozen=True, kw_only=True):
    """How a result came here: `time` is UTC in ISO 8601. With `restored` it was made elsewhere, or earlier than the
    records go back: commit and machine are then those of the restoring build."""

    key: str
    time: str
    commit: str = ""
    is_changed: bool = False
    machine: str = ""
    version: str = __version__
    restored: bool = False

    def describe(self) -> str:
        """Return the record as one line: `built 2026-11-28 14:03 UTC at commit 0123abc, on Linux x86_64`."""
        action = "restored from the store" if self.restored else "built"
        commit = f" at commit {self.commit[:10]}" if self.commit else ""
        changed = " with uncommitted changes" if self.is_changed else ""
        where = f", on {self.machine}" if self.machine else ""
        return f"{action} {self.time[:16].replace('T', ' ')} UTC{commit}{changed}{where}"


def read(root: Path, target: str, key: str) -> BuildRecord | None:
    """Return the record of a result; None if there is none."""
    return next((record for record in reversed(_records(root, target)) if record.key == key), None)


def write(root: Path, target: str, key: str, *, restored: bool, worker: str = "") -> None:
    """Record a result that was made or restored just now, on this machine or by a `worker` elsewhere.

    A restored result keeps the record of its making. A record that cannot be written does not fail a build."""
    from punie_build.runtime import machine

    records = _records(root, target)
    if restored and any(record.key == key for record in records):
        return
    commit = commit_of(root)
    record = BuildRecord(
        key=key,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=commit.name,
        is_changed=commit.is_changed,
        machine=worker or machine.describe(),
        restored=restored,
    )
    recent = [other for other in records if other.key != key][1 - MAX_KEPT :]
    with suppress(OSError):
        sealed_file.write(root / paths.build_records(target), msgspec.json.encode([*recent, record]))


def _records(root: Path, target: str) -> list[BuildRecord]:
    try:
        return msgspec.json.decode(
            sealed_file.read(root / paths.build_records(target)) or b"[]", type=list[BuildRecord]
        )
    except msgspec.MsgspecError:  # of another version
        return []


@cache
def commit_of(root: Path) -> Commit:
    """Return the commit that a project is at, once in a process: locks that a build writes are no changes."""
    folder = root.resolve()
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return Commit()
    name = _git(root, "rev-parse", "--verify", "--quiet", "HEAD").strip()
    if not name:
        return Commit()
    status = _git(root, "status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all", "--", ".")
    return Commit(name, any(map(_is_change, status.split("\0"))))


def _is_change(entry: str) -> bool:
    """Return whether an entry of `git status` is a change of a tracked file, or a recipe that is not tracked."""
    state, path = entry[:2], entry[3:]
    if not path or path.endswith((paths.LOCK, paths.SPLITS_LOCK)):
        return False
    return state != "??" or "/recipes/" in f"/{path}"


def _git(root: Path, *arguments: str) -> str:
    """Return the output of git, "" if it fails or takes too long."""
    from punie_build.storage import git_history

    with suppress(UseError):
        output = git_history.run(root, *arguments, may_fail=True, seconds=GIT_SECONDS)
        return output.decode(errors="surrogateescape")
    return ""
