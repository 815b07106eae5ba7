"""A cache of filter scores in SQLite: `.punie/memo.db`.

A ScoredFilter compares a score with a threshold. Scores are stored by the example and by the scorer: the parameters
that affect the score, the filter's code, and the versions of its packages. So a changed threshold needs no new
scores, and a dataset that grew by 1 % is scored for that 1 %. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Example
from punie_build.data.filters.filter import FilterContext, Predicate, ScoredFilter
from punie_build.engine import fingerprint
from punie_build.runtime import versions

BATCH = 2000  # scores in one transaction


class ScoreCache:
    """The scores of one scorer. Scores that cannot be stored (full disk, missing folder) are computed again."""

    def __init__(self, path: Path, scorer: str) -> None:
        self.pending: list[tuple[bytes, bytes]] = []
        self.table = f"score_{scorer}"
        self.query = f"select score from {self.table} where example = ?"  # noqa: S608 - the table name is a hash
        self.database: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(path, timeout=30, isolation_level=None)
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = off")  # a lost score is computed again
            database.execute(
                f"create table if not exists {self.table} (example blob primary key, score blob) without rowid"
            )
            self.database = database

    def get(self, example: Example, score: Callable[[Example], Any]) -> Any:
        """Return the stored score of the example, or compute and store it."""
        key = hashlib.blake2b(msgspec.json.encode(example), digest_size=16).digest()
        with suppress(sqlite3.Error):
            row = self.database.execute(self.query, (key,)).fetchone() if self.database else None
            if row and row[0][:4] == _checksum(key, row[0][4:]):
                return msgspec.json.decode(row[0][4:])
        computed = score(example)
        encoded = msgspec.json.encode(computed)
        self.pending.append((key, _checksum(key, encoded) + encoded))
        if len(self.pending) >= BATCH:
            self.flush()
        return computed

    def flush(self) -> None:
        """Write the pending scores."""
        with suppress(sqlite3.Error):
            if self.database and self.pending:
                self.database.execute("begin immediate")
                self.database.executemany(
                    f"insert or replace into {self.table} values (?, ?)",  # noqa: S608
                    self.pending,
                )
                self.database.execute("commit")
        self.pending = []


def _checksum(key: bytes, score: bytes) -> bytes:
    """Return four bytes before a stored score: a damaged one is computed again."""
    return zlib.crc32(key + score).to_bytes(4)


def scorer_key(filter_: ScoredFilter, context: FilterContext) -> str:
    """Return 16 hex digits that change if the filter's scores may change; parameters of the decision are left out."""
    parameters = {name: getattr(filter_, name) for name in filter_.SCORED_BY}
    code = fingerprint.of_symbols([fingerprint.class_symbol(type(filter_))])
    packages = {name: versions.version(name) for name in filter_.PACKAGES}
    return hashlib.blake2b(
        msgspec.json.encode([parameters, code, packages, filter_.input_digest(context)], order="deterministic"),
        digest_size=8,
    ).hexdigest()


def cached_predicate(filter_: ScoredFilter, context: FilterContext, path: Path) -> tuple[Predicate, Callable[[], None]]:
    """Return (predicate that uses stored scores, function that writes the pending scores after the pass)."""
    cache = ScoreCache(path, scorer_key(filter_, context))
    scorer: list[Callable[[Example], Any]] = []

    def score(example: Example) -> Any:  # loads the model at the first example without a stored score
        if not scorer:
            scorer.append(filter_.scorer(context))
        return scorer[0](example)

    return lambda example: filter_.accepts(cache.get(example, score)), cache.flush
