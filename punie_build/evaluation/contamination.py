"""Contamination: cases that an arm may have learnt. What the users of a case say is held against what users say in training rows.

Exact matches are those equal once normal (spaces, case, Unicode form); near ones share at least half of the three-word sequences that any
of the two has. Every pair is looked at: an index of the suite's shingles makes that one pass over the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from punie_build.data.example import Example
from punie_build.evaluation.suite import Suite

TRAINED_FILES = ("train.jsonl", "valid.jsonl")  # of a dataset: their rows decide an adapter
MIN_SIMILARITY = 0.5  # Jaccard index of three-word shingles
SHINGLE_WORDS = 3
BATCH_SIZE = 4096  # texts hashed at once


class ContaminatedCase(Struct, frozen=True, kw_only=True):
    """A case that occurs in training data: where it is nearest, and how near (1: the same words)."""

    case: str
    place: str
    near: float
    text: str


def contaminated_cases(suite: Suite, rows: Iterable[tuple[str, Example]]) -> tuple[ContaminatedCase, ...]:
    """The cases that are in the rows, each with its nearest row; in the suite's order. `rows`: where each is, and what it says."""
    from punie_build.data import shingles

    asked = [(case.id, shingles.normalize(said)) for case in suite.cases if (said := "\n".join(case.user_messages()))]
    hashes, starts = shingles.shingle_hashes([text for _, text in asked], SHINGLE_WORDS)
    index: dict[int, set[int]] = {}
    sizes = []
    ends = [*starts[1:].tolist(), len(hashes)]
    for number, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        mine = set(hashes[start:end].tolist())
        sizes.append(len(mine))
        for each in mine:
            index.setdefault(each, set()).add(number)
    best: dict[int, ContaminatedCase] = {}
    for block in _blocks(_said(rows)):
        found, begins = shingles.shingle_hashes([shingles.normalize(text) for _, text in block], SHINGLE_WORDS)
        lasts = [*begins[1:].tolist(), len(found)]
        for (place, text), begin, last in zip(block, begins.tolist(), lasts, strict=True):
            theirs = set(found[begin:last].tolist())
            shared = Counter(number for each in theirs & index.keys() for number in index[each])
            for number, both in shared.items():
                near = both / (sizes[number] + len(theirs) - both)
                if near >= MIN_SIMILARITY and (number not in best or near > best[number].near):
                    best[number] = ContaminatedCase(
                        case=asked[number][0], place=place, near=round(near, 3), text=text[:200]
                    )
    return tuple(best[number] for number in sorted(best))


def _said(rows: Iterable[tuple[str, Example]]) -> Iterator[tuple[str, str]]:
    """What the users say in each turn, and up to it: a case may be one question of a conversation, or the beginning of it."""
    for place, example in rows:
        said: list[str] = []
        for text in example.texts("user"):
            said.append(text)
            yield place, text
            if len(said) > 1:
                yield place, "\n".join(said)


def _blocks(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    block: list[tuple[str, str]] = []
    for each in texts:
        block.append(each)
        if len(block) == BATCH_SIZE:
            yield block
            block = []
    if block:
        yield block
