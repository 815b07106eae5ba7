"""Memo: what an expensive look at an example gave, so that it is looked at once: `.punie/memo.db`.

A filter that scores (`Scored`) decides by a threshold. Its scores are kept by the example and by what scored it - the
filter's scoring parameters, its code and the packages it asks - so a moved threshold decides anew without scoring, and data
that grew by 1 % is scored for that 1 %. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Example
from punie_build.data.filters.filter import Context, Predicate, Scored
from punie_build.engine import fingerprint
from punie_build.runtime import versions

BATCH = 2000  # scores written at once


class Memo:
    """The scores of one scorer. Where they cannot be kept (a full disk, no folder), they are made again."""

    def __init__(self, path: Path, scorer: str) -> None:
        self.fresh: list[tuple[bytes, bytes]] = []
        self.table = f"score_{scorer}"
        self.ask = f"select score from {self.table} where example = ?"  # noqa: S608 - a name of ours
        self.book: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            book = sqlite3.connect(path, timeout=30, isolation_level=None)
            book.execute("pragma journal_mode = wal")
            book.execute("pragma synchronous = off")  # a lost score is made again
            book.execute(
                f"create table if not exists {self.table} (example blob primary key, score blob) without rowid"
            )
            self.book = book

    def of(self, example: Example, score: Callable[[Example], Any]) -> Any:
        """The example's score, from here or made now."""
        key = hashlib.blake2b(msgspec.json.encode(example), digest_size=16).digest()
        with suppress(sqlite3.Error):
            row = self.book.execute(self.ask, (key,)).fetchone() if self.book else None
            if row:
                return msgspec.json.decode(row[0])
        made = score(example)
        self.fresh.append((key, msgspec.json.encode(made)))
        if len(self.fresh) >= BATCH:
            self.flush()
        return made

    def flush(self) -> None:
        with suppress(sqlite3.Error):
            if self.book and self.fresh:
                self.book.execute("begin immediate")
                self.book.executemany(f"insert or replace into {self.table} values (?, ?)", self.fresh)  # noqa: S608
                self.book.execute("commit")
        self.fresh = []


def scorer(filter_: Scored, context: Context) -> str:
    """16 hex digits that change when the filter would score otherwise; what only decides is left out."""
    symbol = type(filter_).__module__.removeprefix(f"{fingerprint.PACKAGE}."), type(filter_).__name__
    given = {name: getattr(filter_, name) for name in filter_.SCORED_BY}
    code = fingerprint.of_symbols([symbol])
    asked = {name: versions.version(name) for name in filter_.TOOLS}
    return hashlib.blake2b(
        msgspec.json.encode([given, code, asked, filter_.reads(context)], order="deterministic"), digest_size=8
    ).hexdigest()


def remembering(filter_: Scored, context: Context, path: Path) -> tuple[Predicate, Callable[[], None]]:
    """(the filter's test over remembered scores, what writes the rest down when the pass is over)."""
    memo = Memo(path, scorer(filter_, context))
    score: list[Callable[[Example], Any]] = []

    def late(example: Example) -> Any:  # a pass that knows every score loads no model
        if not score:
            score.append(filter_.scorer(context))
        return score[0](example)

    return lambda example: filter_.decide(memo.of(example, late)), memo.flush
