"""Lock: the small file beside a target that says what it was made from, and what came out.

`key` names everything that decides the outputs: kind, recipe, code, inputs by digest, tools where numbers depend on them.
No path of a machine, no time, no host is in it. Locks are committed: with them `punie-build check` needs no data.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from punie_build.schema.spec import digest
from punie_build.storage import paths

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Inside = Annotated[  # a lock is data: no way out
    str, Meta(pattern=r"\A(?!/)(?!.*(?:\A|/)\.\.?(?:/|\Z))[^\\\x00-\x1f]+\Z")
]


class Facts(Struct, frozen=True, kw_only=True):
    """What decides an artifact."""

    kind: str
    recipe: dict[str, Any]
    code: str
    inputs: dict[str, str]
    tools: dict[str, str]

    @property
    def key(self) -> str:
        return digest(self)


class Lock(Struct, frozen=True, kw_only=True):
    """Facts, and what they gave: `outputs` maps each file of the target to its sha256; `metrics` are its numbers, such as the
    rows of a dataset or the cases passed; `seconds` is how long it took."""

    key: Sha256
    facts: Facts
    outputs: dict[Inside, Sha256]
    metrics: dict[str, float] = {}
    seconds: float


def decode(text: bytes) -> Lock | None:
    """A lock, or None if the text is none, or its key is not that of its facts."""
    try:
        lock = msgspec.json.decode(text, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return lock if lock.key == lock.facts.key else None


def read(path: Path) -> Lock | None:
    """The lock, or None if there is none that can be read: then the target counts as never made."""
    try:
        return decode(path.read_bytes())
    except OSError:
        return None


def encode(lock: Lock) -> bytes:
    """Its one text."""
    return msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=1) + b"\n"


def write(path: Path, lock: Lock) -> None:
    """Replace the lock in one step, on disk before this returns."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")  # two targets may have one key
    try:
        with fresh.open("wb") as file:
            file.write(encode(lock))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def present(root: Path) -> Iterator[Path]:
    """Every lock file of a project."""
    for folder in dict.fromkeys(paths.FOLDERS.values()):
        yield from sorted((root / folder).glob(f"*{paths.LOCK}"))
