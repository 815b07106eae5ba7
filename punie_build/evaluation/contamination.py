"""Contamination of a suite: cases whose user messages occur in a text of training rows.

The texts of a row are those that a chat template renders: also reasoning, calls, results and declarations of tools.
Texts match exactly if they are equal after normalization of spaces, case and Unicode form, or if a prompt of at least
eight words is a part of the text. Texts match nearly if the Jaccard index of their three-word shingles is at least 0.5.
An inverted index of the suite's shingles compares all pairs in one pass over the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct, field

from punie_build.data.example import Example
from punie_build.evaluation.suite import Suite

MIN_SIMILARITY = 0.5  # Jaccard index of three-word shingles
SHINGLE_WORDS = 3
MIN_CONTAINED = 6  # shingles of the prompts that are also found within a text: eight words
BATCH_SIZE = 4096  # texts that are hashed at once


class ContaminatedCase(Struct, frozen=True, kw_only=True):
    """A case that occurs in training data: location, similarity (1: equal words) and text of the nearest row."""

    case: str
    location: str = field(name="place")
    similarity: float = field(name="near")
    text: str


def contaminated_cases(suite: Suite, rows: Iterable[tuple[str, Example]]) -> tuple[ContaminatedCase, ...]:
    """Return the cases that occur in the rows, in the order of the suite.

    `rows` are pairs of a location and an example.
    """
    prompts = [(case.id, text) for case in suite.cases if (text := "\n".join(case.user_messages()))]
    index: dict[int, set[int]] = {}  # shingle -> indices of the prompts that contain it
    sizes = []
    for number, shingles in enumerate(_shingles([text for _, text in prompts])):
        sizes.append(len(shingles))
        for shingle in shingles:
            index.setdefault(shingle, set()).add(number)
    best: dict[int, ContaminatedCase] = {}
    for batch in _batches(_texts(rows)):
        for (location, text), shingles in zip(batch, _shingles([text for _, text in batch]), strict=True):
            shared = Counter(number for shingle in shingles & index.keys() for number in index[shingle])
            for number, count in shared.items():
                is_part = count == sizes[number] >= MIN_CONTAINED
                similarity = 1.0 if is_part else count / (sizes[number] + len(shingles) - count)
                if similarity >= MIN_SIMILARITY and (number not in best or similarity > best[number].similarity):
                    best[number] = ContaminatedCase(
                        case=prompts[number][0], location=location, similarity=round(similarity, 3), text=text[:200]
                    )
    return tuple(best[number] for number in sorted(best))


def _shingles(texts: Sequence[str]) -> list[set[int]]:
    """Return the hashes of the word shingles of each text."""
    from punie_build.data import shingles

    hashes, starts = shingles.shingle_hashes([shingles.words(text) for text in texts], SHINGLE_WORDS)
    bounds = [*starts.tolist(), len(hashes)]
    return [set(hashes[start:end].tolist()) for start, end in pairwise(bounds)]


def _texts(rows: Iterable[tuple[str, Example]]) -> Iterator[tuple[str, str]]:
    """Yield each user message, and all up to it: a case may be one message of a conversation, or its beginning.

    Yields each other text once: many rows have the same system prompt and tools.
    """
    others: set[int] = set()
    for location, example in rows:
        contents = example.texts("system", "assistant", "tool")
        for text in (*contents, *example.structured_texts("system", "assistant"), *example.argument_texts()):
            if (key := hash(text)) not in others:
                others.add(key)
                yield location, text
        texts: list[str] = []
        for text in example.texts("user"):
            texts.append(text)
            yield location, text
            if len(texts) > 1:
                yield location, "\n".join(texts)


def _batches(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    for item in texts:
        batch.append(item)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch
