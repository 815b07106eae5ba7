"""Choose, deduplicate, repeat and shuffle the rows of a mix.

Choices depend only on hashes of the examples, so they are the same on every machine, and a larger cap or share only
adds rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol, TypeVar

from msgspec import Meta

from punie_build.schema.spec import Spec


class Hashed(Protocol):
    """A row with a content hash."""

    def content_hash(self) -> str:
        """Return the hash of the content: equal for rows that teach the same."""
        ...


H = TypeVar("H", bound=Hashed)


class MixComponent(Spec, frozen=True, kw_only=True):
    """One dataset of a mix. `cap` limits its rows; `weight` 0.5 keeps half of them, 2 repeats each training row."""

    name: str
    cap: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0, le=100)] = 1.0


def hash_fraction(*values: object) -> float:
    """Return a number in [0, 1) that depends only on the values."""
    text = "\0".join(str(value) for value in values)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def choose(rows: Sequence[H], component: MixComponent, seed: int) -> list[H]:
    """Return the rows of a component after its weight (below 1) and cap. Rows with the smallest hash are chosen."""
    chosen = [
        row
        for row in rows
        if component.weight >= 1 or hash_fraction(seed, "weight", row.content_hash()) < component.weight
    ]
    if component.cap is not None and len(chosen) > component.cap:
        chosen = sorted(chosen, key=lambda row: hash_fraction(seed, "cap", row.content_hash()))[: component.cap]
    return chosen


def copies(row: Hashed, component: MixComponent, seed: int) -> int:
    """Return how often a training row occurs. Weight 2.5 gives two copies, and three for half of the rows."""
    minimum, remainder = divmod(max(component.weight, 1.0), 1)
    return int(minimum) + (hash_fraction(seed, "again", row.content_hash()) < remainder)


def dedup(rows: Iterable[H]) -> tuple[list[H], list[H]]:
    """Return (the first of each set of equal rows, the duplicates). Rows are equal if they teach the same."""
    seen: set[str] = set()
    unique: list[H] = []
    duplicates: list[H] = []
    for row in rows:
        key = row.content_hash()
        (duplicates if key in seen else unique).append(row)
        seen.add(key)
    return unique, duplicates


def shuffle(rows: Iterable[H], seed: int) -> list[H]:
    """Return the rows in the order of hashes that include a copy's number, so that copies of a row are spread out."""
    next_copy: dict[str, int] = {}
    ranked = []
    for row in rows:
        key = row.content_hash()
        copy = next_copy.get(key, 0)
        next_copy[key] = copy + 1
        ranked.append((hash_fraction(seed, "order", key, copy), row))
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]
