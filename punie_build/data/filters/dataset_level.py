"""Filters that need all examples of a dataset: deduplication, decontamination, balancing, sampling.

Of several equal examples the first is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from punie_build.data.example import Example
from punie_build.data.filters.filter import DatasetFilter, FilterContext
from punie_build.data.mix import hash_fraction

DedupScope = Literal["conversation", "prompt", "answer"]


def dedup_text(example: Example, on: DedupScope) -> str:
    """Return the text that is compared: the conversation, the first user message, or the last assistant message."""
    if on == "prompt":
        return next(example.texts("user"), "")
    if on == "answer":
        return next(iter(list(example.texts("assistant"))[::-1]), "")
    return example.text()


class ExactDedup(DatasetFilter, frozen=True, kw_only=True, tag="exact-dedup"):
    """Keep the first of examples with the same text, ignoring case, whitespace and Unicode form.

    A conversation has all its texts, also reasoning, calls and tool declarations: rows that differ in one are kept.
    `on` selects the text: the conversation, the first prompt, or the last answer. `digits = true` treats all numbers as
    equal, which finds rows that a generator made from one template.
    """

    on: DedupScope = "conversation"
    digits: bool = False

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        from punie_build.data import shingles

        seen: set[bytes] = set()
        for index, example in enumerate(examples):
            text = example.full_text() if self.on == "conversation" else dedup_text(example, self.on)
            key = shingles.text_hash(text, self.digits)
            if key in seen:
                yield index
            seen.add(key)


class NearDedup(DatasetFilter, frozen=True, kw_only=True, tag="near-dedup"):
    """Keep the first of examples whose word 5-grams have a Jaccard index of `threshold` or more.

    In scripts without blanks between words, such as Chinese, character 3-grams are compared.

    MinHash LSH proposes candidate pairs, and the exact index of each is computed: no pair below the threshold is
    dropped.
    """

    on: DedupScope = "conversation"
    threshold: Annotated[float, Meta(gt=0.3, le=1)] = 0.8

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        import tempfile

        from punie_build.data import minhash, shingles

        near, count = minhash.NearDuplicates(self.threshold), 0
        with tempfile.TemporaryFile() as spool:  # the texts are read twice; memory holds only their sketches
            for example in examples:
                text = shingles.words(dedup_text(example, self.on))
                near.add(text)
                count += 1
                spool.write(msgspec.json.encode(text) + b"\n")
            spool.seek(0)
            pairs = near.spanning_pairs(msgspec.json.decode(line, type=str) for line in spool)
        leaders = minhash.connected_components(count, pairs)
        yield from (index for index, leader in enumerate(leaders) if leader != index)


class Decontaminate(DatasetFilter, frozen=True, kw_only=True, tag="decontaminate"):
    """Drop examples that share `n` consecutive words with a prompt of one of `suites`, so that evals have new prompts.

    Prompts shorter than `n` words match only a user message with the same text. In scripts without blanks between
    words, such as Chinese, one and a half characters count as a word.
    """

    suites: Annotated[tuple[str, ...], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=3, le=50)] = 8

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        from punie_build.data import minhash, shingles

        prompts = [shingles.words(prompt) for name in self.suites for prompt in context.suites[name]]
        exact = set(prompts)
        by_size: dict[int, list[str]] = {}
        for prompt in prompts:
            size = self.n * 3 // 2 if shingles.is_unspaced(prompt) else self.n
            if len(prompt.split()) >= size:
                by_size.setdefault(size, []).append(prompt)
        positions: set[int] = set()

        def texts() -> Iterator[str]:
            for index, example in enumerate(examples):
                if exact.intersection(shingles.words(text) for text in example.texts("user")):
                    positions.add(index)
                yield shingles.words(example.full_text())

        start = 0
        for block in shingles.text_blocks(texts()):
            for size, references in by_size.items():
                positions.update(start + match.text for match in minhash.ngram_matches(block, references, size))
            start += len(block)
        yield from sorted(positions)


class Balance(DatasetFilter, frozen=True, kw_only=True, tag="balance"):
    """Keep at most `most` examples of each category, or of those in `categories`, chosen by hash and `seed`."""

    most: Annotated[int, Meta(ge=1)]
    categories: tuple[str, ...] = ()
    seed: int = 0

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        ranked: dict[str, list[tuple[float, int]]] = {}
        for index, example in enumerate(examples):
            category = example.category or ""
            if not self.categories or category in self.categories:
                ranked.setdefault(category, []).append(
                    (hash_fraction(self.seed, "balance", example.content_hash()), index)
                )
        for ranks in ranked.values():
            yield from (index for _, index in sorted(ranks)[self.most :])


class SampleRows(DatasetFilter, frozen=True, kw_only=True, tag="sample"):
    """Keep `most` examples, or a `share`, those with the smallest hash: a larger sample contains a smaller one."""

    most: Annotated[int, Meta(ge=1)] | None = None
    share: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.most is None) == (self.share is None):
            raise ValueError("a sample has either `most` or `share` - give one of them")

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        ranks = [
            (hash_fraction(self.seed, "sample", example.content_hash()), index)
            for index, example in enumerate(examples)
        ]
        if self.share is not None:
            return (index for rank, index in ranks if rank >= self.share)
        return (index for _, index in sorted(ranks)[self.most :])
