"""Files of caches that begin with the digest of the rest: a damaged or torn one counts as absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

from punie_build.storage import atomic


def read(path: Path) -> bytes | None:
    """Return the content that was written, or None if it is absent or damaged."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if digest == _digest(content) else None


def write(path: Path, content: bytes) -> None:
    """Replace the file in one step. Raises OSError."""
    atomic.replace_file(path, _digest(content) + b"\n" + content)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
