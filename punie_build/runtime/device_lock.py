"""Locks on devices: one training per device and machine. Servers and data steps run beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(purpose: str, device: str, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of the device for a purpose such as `training` (none for ""); report and wait while another build
    holds it.

    The lock ends with the process.
    """
    if not purpose:
        yield
        return
    from filelock import FileLock, Timeout

    folder = Path(tempfile.gettempdir(), f"punie-build-{os.getuid()}")  # in a container the user may have no name
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(folder / f"{device}.{purpose}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting: another {purpose} uses the {device}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
