"""A cache of completions on disk, so that no request is sent twice and an interrupted run loses no completion.

    .punie/answers/<cache name>.jsonl      one line for each completion, by the digest of its request; append-only

All settings that decide a completion are either in the name of the file (weights, versions, serving) or in the request.
A killed build leaves at most one incomplete last line, which readers skip. Each line has a digest of itself: a line
that was changed by hand counts as absent, so its request is sent again. The folder may be deleted at any time: then
all requests are sent again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from punie_build.evaluation.canary import Canary, CanaryNoise
from punie_build.evaluation.completion import Completion
from punie_build.schema.spec import digest


class CacheLine(Struct, frozen=True, omit_defaults=True):
    """One line: a completion and its key, or the canaries of the model under test and of its base."""

    key: str = ""
    completion: Completion | None = field(name="said", default=None)
    model_canary: list[list[tuple[int, float]]] | None = field(name="arm", default=None)
    base_canary: list[list[tuple[int, float]]] | None = field(name="base", default=None)
    noise: CanaryNoise | None = None
    digest: str = ""

    def sealed(self) -> CacheLine:
        """Return the line with the digest of all its other values."""
        return replace(self, digest=digest(msgspec.to_builtins(replace(self, digest="")))[:16])


_decode = msgspec.json.Decoder(CacheLine).decode


class ResponseCache:
    """The completions of one file by request key, and its canaries: (of the model under test, of its base).

    Threads and processes may share a file: each line is a single write.
    """

    def __init__(self, path: Path, *, skip_existing: bool = False) -> None:
        """Read the file; with `skip_existing`, only lines that are written later."""
        self.path = path
        self.completions: dict[str, Completion] = {}
        self.canaries: tuple[Canary, Canary] | None = None
        self.noise = CanaryNoise()
        self.changed_lines = 0  # whose digest does not hold
        self.start = path.stat().st_size if path.exists() else 0
        self._write_lock = threading.Lock()
        self._offset = path.stat().st_size if skip_existing and path.exists() else 0
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that this or another process has written since the last read."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            *complete, incomplete = file.read().split(b"\n")
        self._offset += sum(len(text) + 1 for text in complete)
        for text in [*complete, incomplete]:
            try:
                line = _decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # cut off by a kill, or not yet written to its end
            if line.digest != line.sealed().digest:
                self.changed_lines += 1
            elif line.completion:
                self.completions[line.key] = line.completion
            elif line.model_canary and line.base_canary:
                self.canaries, self.noise = (line.model_canary, line.base_canary), line.noise or CanaryNoise()

    def add(self, key: str, completion: Completion) -> None:
        """Add a completion and write it to the file before returning."""
        self.completions[key] = completion
        self._write(CacheLine(key=key, completion=completion))

    def add_canaries(self, model: Canary, base: Canary, noise: CanaryNoise | None = None) -> None:
        """Add the canaries of the model under test and of its base, and write them to the file."""
        self.canaries, self.noise = (model, base), noise or CanaryNoise()
        canaries = ([list(tokens) for tokens in canary] for canary in self.canaries)
        self._write(CacheLine(model_canary=next(canaries), base_canary=next(canaries), noise=noise))

    def discard_new(self) -> None:
        """Remove the lines that were written since this object was made: other weights gave them."""
        self.completions.clear()
        self.canaries = None
        if self.path.exists():
            os.truncate(self.path, min(self.start, self.path.stat().st_size))

    def _write(self, line: CacheLine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._write_lock:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                size = os.fstat(file).st_size
                cut_off = size and os.pread(file, 1, size - 1) != b"\n"
                os.write(file, (b"\n" if cut_off else b"") + msgspec.json.encode(line.sealed()) + b"\n")
            finally:
                os.close(file)
