"""Locks on devices: one training per device, user and machine. Servers and data steps run beside it.

The locks lie in the home of the user, which may be shared by machines, so that a session over SSH, a service and a
container with another temporary folder wait for each other. PUNIE_BUILD_LOCKS names another folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from punie_build.errors import UseError


@contextmanager
def hold(purpose: str, device: str, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of the device for a purpose such as `training` (none for ""); report and wait while another build
    holds it. Raise UseError if no folder for locks is the user's own.

    The lock ends with the process.
    """
    if not purpose:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(folder() / f"{os.uname().nodename}.{device}.{purpose}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting: another {purpose} uses the {device}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def folder() -> Path:
    """Return the folder of the locks, which only this user can write. Raises UseError."""
    import pwd
    import tempfile

    if named := os.environ.get("PUNIE_BUILD_LOCKS"):
        candidates = [Path(named)]
    else:
        candidates = [Path(tempfile.gettempdir(), f"punie-build-{os.getuid()}")]
        with suppress(KeyError):  # in a container the user may have no name
            candidates.insert(0, Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "punie-build", "locks"))
    for path in candidates:
        with suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_own(path):
                return path
    raise UseError(f"{candidates[-1]}: not a folder of yours alone - remove it, or name another one: PUNIE_BUILD_LOCKS")


def is_own(path: Path) -> bool:
    """Return whether a path is a folder, no link, that belongs to this user and that no other user can write."""
    info = os.lstat(path)
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o022
