"""Mixing: several datasets into one - capped, weighted, without twins, split without leakage.

The side of a row is a hash of what the user first says, so every row with that question is on one side, and adding rows
moves none of those that were there. Order is a hash too: shuffled, and the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from punie_build.examples import Row
from punie_build.spec import Spec

Share = Annotated[float, Meta(ge=0, lt=1)]


class Split(Spec, frozen=True, kw_only=True):
    """Shares of rows for validation and test; the rest trains."""

    valid: Share = 0.1
    test: Share = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test leave nothing to train on - make them smaller than 1 together")

    def side(self, row: Row) -> str:
        """`train`, `valid` or `test`: a function of the first question and the seed alone."""
        place = fraction(self.seed, row.question())
        return "test" if place < self.test else "valid" if place < self.test + self.valid else "train"


class Part(Spec, frozen=True, kw_only=True):
    """One dataset of a mix. `cap`: at most so many rows; `weight` 0.5 keeps half of them, 2 repeats each training row."""

    name: str
    cap: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0, le=100)] = 1.0


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def choose(rows: Sequence[Row], part: Part, seed: int) -> list[Row]:
    """The rows of a part after weight (below 1) and cap: those of smallest hash, so a larger cap only adds."""
    kept = [row for row in rows if part.weight >= 1 or fraction(seed, "weight", row.identity()) < part.weight]
    if part.cap is not None and len(kept) > part.cap:
        kept = sorted(kept, key=lambda row: fraction(seed, "cap", row.identity()))[: part.cap]
    return kept


def repeated(row: Row, part: Part, seed: int) -> int:
    """How often a training row occurs: weight 2.5 is twice, and once more for half of the rows."""
    whole, rest = divmod(max(part.weight, 1.0), 1)
    return int(whole) + (fraction(seed, "again", row.identity()) < rest)


def unique(rows: Iterable[tuple[Part, Row]]) -> tuple[list[tuple[Part, Row]], list[tuple[Part, Row]]]:
    """(first of each, the twins after it); rows are twins when messages and tools are equal."""
    seen: set[str] = set()
    first: list[tuple[Part, Row]] = []
    twins: list[tuple[Part, Row]] = []
    for part, row in rows:
        name = row.identity()
        (twins if name in seen else first).append((part, row))
        seen.add(name)
    return first, twins


def shuffled(rows: Iterable[Row], seed: int) -> list[Row]:
    """The rows ordered by hash; copies of one row keep apart from each other."""
    numbered: dict[str, int] = {}
    keyed = []
    for row in rows:
        name = row.identity()
        numbered[name] = copy = numbered.get(name, -1) + 1
        keyed.append((fraction(seed, "order", name, copy), row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]
