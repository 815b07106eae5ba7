"""Answered: all that some weights ever said, so that nothing is asked twice and nothing that came is lost.

    .punie/answers/<what answers>.jsonl      one line a reply, by the digest of its question; never rewritten

Whatever decides an answer is in the file's name (weights, versions, how it is served) or in the question. A killed build
leaves at most a torn last line, which is passed over. The folder may be deleted at any time: then all is asked again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.evaluation.canary import Canary
from punie_build.evaluation.conversation import Said


class _Line(Struct, frozen=True, omit_defaults=True):
    """A reply to a question, or what the weights said to the canary questions: the base's too, where an adapter is on it."""

    key: str = ""
    said: Said | None = None
    arm: list[list[tuple[int, float]]] | None = None
    base: list[list[tuple[int, float]]] | None = None


_decode = msgspec.json.Decoder(_Line).decode


class Answered:
    """What is known, and where more is written down. Threads and processes may share a file: a line is one write."""

    def __init__(self, path: Path, *, empty: bool = False) -> None:
        """What the file holds; `empty`: only what is written from now on."""
        self.path = path
        self.said: dict[str, Said] = {}
        self.canaries: tuple[Canary, Canary] | None = None
        self._guard = threading.Lock()
        self._seen = path.stat().st_size if empty and path.exists() else 0
        self.catch_up()

    def catch_up(self) -> None:
        """Read what was written since, here or by another process."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._seen)
            *whole, rest = file.read().split(b"\n")
        self._seen += sum(len(text) + 1 for text in whole)
        for text in [*whole, rest]:
            try:
                line = _decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # torn by a kill, or not yet whole
            if line.said:
                self.said[line.key] = line.said
            elif line.arm and line.base:
                self.canaries = line.arm, line.base

    def keep(self, key: str, said: Said) -> None:
        """Write a reply down before anything else can happen."""
        self.said[key] = said
        self._write(_Line(key=key, said=said))

    def prove(self, arm: Canary, base: Canary) -> None:
        self.canaries = arm, base
        self._write(_Line(arm=[list(said) for said in arm], base=[list(said) for said in base]))

    def _write(self, line: _Line) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._guard:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                size = os.fstat(file).st_size
                torn = size and os.pread(file, 1, size - 1) != b"\n"
                os.write(file, (b"\n" if torn else b"") + msgspec.json.encode(line) + b"\n")
            finally:
                os.close(file)
