"""Lock: the small file beside a target that says what it was made from, and what came out.

`key` names everything that decides the outputs: kind, recipe, code, inputs by digest, tools where numbers depend on them.
No path of a machine, no time, no host is in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.spec import digest


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
    """Facts, and what they gave: `outputs` maps each file of the target to its sha256; `seconds` is how long it took."""

    key: str
    facts: Facts
    outputs: dict[str, str]
    seconds: float


def read(path: Path) -> Lock | None:
    """The lock, or None if there is none that can be read: then the target counts as never made."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except (OSError, msgspec.DecodeError):
        return None


def write(path: Path, lock: Lock) -> None:
    """Replace the lock in one step, on disk before this returns."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
