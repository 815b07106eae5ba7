"""Helpers for tests of digests: expected digests, the clock of a file system, and a project without a cache."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from punie_build.storage import digests, paths


def sha(content: bytes) -> str:
    """Return the sha256 of bytes, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def wait_until_stable(path: Path) -> None:
    """Wait until the clock of the file system has ticked since the last change of a file."""
    time.sleep(max(0, digests._stable_from(digests._stamp(path.stat())) - time.time_ns()) / 1e9 + 0.002)


def make_unwritable(root: Path) -> Path:
    """Return a project in which no cache can be written."""
    (root / paths.STATE).write_text("a file, not a folder")
    return root
