"""A disk whose power is cut: an ext4 image on a loop device, which is copied while it is mounted and not synced.

The copy has what a disk has at that instant: what a program wrote and did not sync is lost or torn. It needs the right
to mount.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDiskError(Exception):
    """No file system can be made or mounted here."""


@contextmanager
def disk(folder: Path, megabytes: int = 64) -> Iterator[Path]:
    """Yield the root of a new, mounted disk; its image is `folder/image`. Raises NoDiskError."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "image"
    image.write_bytes(b"")
    with image.open("r+b") as file:
        file.truncate(megabytes << 20)
    _run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)])
    with mounted(image) as root:
        yield root


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    """Mount an image beside it, and yield the root of its files."""
    root = image.with_name(f"{image.name}-mounted")
    root.mkdir(exist_ok=True)
    _run(["mount", "-o", "loop", str(image), str(root)])
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", root], check=True)


def cut(folder: Path, name: str = "cut") -> Path:
    """Copy the image of a mounted disk as it is, without a sync, and return the copy."""
    copy = folder / name
    subprocess.run(["cp", "--sparse=always", folder / "image", copy], check=True)
    return copy


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDiskError(f"{command[0]}: {error}") from None
