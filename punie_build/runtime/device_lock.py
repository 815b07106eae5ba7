"""Turns: what only one build on this machine may use at a time. One training per device; servers and data beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ALONE = {"adapter": "training", "model": "training"}  # kind of artifact -> what it needs for itself


@contextmanager
def turn(kind: str, device: str, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the device while a task of this kind runs; wait, and say so, while another build holds it. Ends with the process."""
    if kind not in ALONE:
        yield
        return
    from filelock import FileLock, Timeout

    place = Path(tempfile.gettempdir(), f"punie-build-{os.getuid()}")  # a container may have no name for its user
    place.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(place / f"{device}.{ALONE[kind]}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waits: another {ALONE[kind]} has the {device}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
