"""Mixing: several datasets into one - capped, weighted, without twins. What is taken is decided by hashes of the examples, so
it is the same on every machine, and a larger cap or share only adds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol, TypeVar

from msgspec import Meta

from punie_build.schema.spec import Spec


class Named(Protocol):
    def content_hash(self) -> str:
        """Equal for what teaches the same."""
        ...


N = TypeVar("N", bound=Named)


class Part(Spec, frozen=True, kw_only=True):
    """One dataset of a mix. `cap`: at most so many rows; `weight` 0.5 keeps half of them, 2 repeats each training row."""

    name: str
    cap: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0, le=100)] = 1.0


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def choose(rows: Sequence[N], part: Part, seed: int) -> list[N]:
    """The rows of a part after weight (below 1) and cap: those of smallest hash, so a larger cap only adds."""
    kept = [row for row in rows if part.weight >= 1 or fraction(seed, "weight", row.content_hash()) < part.weight]
    if part.cap is not None and len(kept) > part.cap:
        kept = sorted(kept, key=lambda row: fraction(seed, "cap", row.content_hash()))[: part.cap]
    return kept


def repeated(row: Named, part: Part, seed: int) -> int:
    """How often a training row occurs: weight 2.5 is twice, and once more for half of the rows."""
    whole, rest = divmod(max(part.weight, 1.0), 1)
    return int(whole) + (fraction(seed, "again", row.content_hash()) < rest)


def unique(rows: Iterable[tuple[Part, N]]) -> tuple[list[tuple[Part, N]], list[tuple[Part, N]]]:
    """(first of each, the twins after it); rows are twins when messages and tools are equal."""
    seen: set[str] = set()
    first: list[tuple[Part, N]] = []
    twins: list[tuple[Part, N]] = []
    for part, row in rows:
        name = row.content_hash()
        (twins if name in seen else first).append((part, row))
        seen.add(name)
    return first, twins


def shuffled(rows: Iterable[N], seed: int) -> list[N]:
    """The rows ordered by hash; copies of one row keep apart from each other."""
    numbered: dict[str, int] = {}
    keyed = []
    for row in rows:
        name = row.content_hash()
        numbered[name] = copy = numbered.get(name, -1) + 1
        keyed.append((fraction(seed, "order", name, copy), row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]
