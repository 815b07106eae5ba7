"""Lock: the small file beside a target that says what the target was made from and which files resulted.

`key` covers everything that decides the outputs: kind, recipe, code, inputs by digest, and tools where numbers depend
on them. No path of a machine, no time and no host is in it. Locks are committed: with them `punie-build check` needs no
data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from punie_build.schema.spec import digest
from punie_build.storage import atomic, paths, project_file
from punie_build.storage.clutter import is_clutter

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
InnerPath = Annotated[  # a path below the target: a lock from elsewhere must not lead out of it
    str, Meta(pattern=r"\A(?!/)(?!.*(?:\A|/)\.\.?(?:/|\Z))[^\\\x00-\x1f]+\Z")
]


END = b"\n}\n"  # of the text of a lock


class KeyInputs(Struct, frozen=True, kw_only=True, dict=True):
    """Everything that decides an artifact. The field names are part of every key: a renamed field retrains every
    adapter."""

    kind: str
    recipe: dict[str, Any]
    code: str
    inputs: dict[str, str]
    tools: dict[str, str]

    @cached_property
    def key(self) -> str:
        """sha256 of the canonical text, 64 hex digits."""
        return digest(self)


class Lock(Struct, frozen=True, kw_only=True):
    """A record of one build: what decided it and what it made.

    `outputs` maps each file of the target to its sha256; `metrics` are numbers such as the rows of a dataset or the
    passed cases; `seconds` is how long the step took. `accepted` has what differed from the lock before, where a
    person accepted the files as they were. The file has the digest of all of it."""

    key: Sha256
    key_inputs: KeyInputs = field(name="facts")
    outputs: dict[InnerPath, Sha256]
    metrics: dict[str, float] = {}
    seconds: float
    accepted: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class _SealedLock(Lock, frozen=True, kw_only=True):
    digest: str = ""


def decode(text: bytes) -> Lock | None:
    """Return the lock, or None if the text is none, names no file, has a key that is not that of its key inputs, or
    another digest than its own: a merge of two locks, or an edited number. A lock of an earlier version has none."""
    try:
        lock = msgspec.json.decode(text, type=Lock)
        if not lock.outputs or lock.key != lock.key_inputs.key or not _is_whole(text):
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return lock


def _is_whole(text: bytes) -> bool:
    """Return whether a lock has its digest, or none. The digest is that of the text without it; of a text that another
    program laid out, that of the one text of its values."""
    if b'"digest"' not in text:
        return True
    text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
    body, _, end = text.rpartition(b',\n "digest": "')
    if end == hashlib.sha256(body + END).hexdigest().encode() + b'"' + END:
        return True
    sealed = msgspec.json.decode(text, type=_SealedLock)
    lock = Lock(**{name: getattr(sealed, name) for name in Lock.__struct_fields__})
    return not sealed.digest or encode(lock).endswith(f'"{sealed.digest}"'.encode() + END)


def read(path: Path | str) -> Lock | None:
    """Return the lock, or None if there is none that can be read: then the target counts as never built."""
    try:
        return decode(project_file.read(path))
    except OSError:
        return None


def encode(lock: Lock) -> bytes:
    """Return the one text of a lock, whose last value is the digest of all others."""
    text = msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=1) + b"\n"
    return text.removesuffix(END) + f',\n "digest": "{hashlib.sha256(text).hexdigest()}"'.encode() + END


def write(path: Path, lock: Lock) -> None:
    """Replace the lock in one step; it is on disk before this returns."""
    atomic.replace_file(path, encode(lock))


def present(root: Path, folders: Iterable[str]) -> Iterator[Path]:
    """Yield every lock file in these folders of a project."""
    for folder in dict.fromkeys(folders):
        locks = (root / folder).glob(f"*{paths.LOCK}")
        yield from sorted(path for path in locks if not is_clutter(path.name))
