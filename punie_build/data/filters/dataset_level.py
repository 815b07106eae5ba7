"""Filters that only all examples together can decide: duplicates, leaks, shares. The first of equals is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from punie_build.data.example import Example
from punie_build.data.filters.filter import Context, Whole
from punie_build.data.mix import fraction

On = Literal["conversation", "prompt", "answer"]


def said(example: Example, on: On) -> str:
    """The text that makes two examples the same: all of it, what the user first asks, or what the assistant says last."""
    if on == "prompt":
        return next(example.texts("user"), "")
    if on == "answer":
        return next(iter(list(example.texts("assistant"))[::-1]), "")
    return example.text()


class ExactDedup(Whole, frozen=True, kw_only=True, tag="exact-dedup"):
    """Keep the first of examples that say the same, whatever their case, blanks and Unicode form.

    `on`: the whole conversation, the first prompt, or the last answer. `digits = true` takes all numbers for equal, which finds the
    templates that a generator filled in.
    """

    on: On = "conversation"
    digits: bool = False

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        from punie_build.data import minhash

        met: set[bytes] = set()
        for index, example in enumerate(examples):
            name = minhash.key(said(example, self.on), self.digits)
            if name in met:
                yield index
            met.add(name)


class NearDedup(Whole, frozen=True, kw_only=True, tag="near-dedup"):
    """Keep the first of examples whose word 5-grams overlap by `threshold` (Jaccard) or more.

    Candidates come from MinHash LSH, and each is verified exactly: nothing below the threshold is dropped.
    """

    on: On = "conversation"
    threshold: Annotated[float, Meta(gt=0.3, le=1)] = 0.8

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        from punie_build.data import minhash

        near, count = minhash.Near(self.threshold), 0
        with tempfile.TemporaryFile() as spool:  # the texts are needed twice; memory holds their sketches alone
            for example in examples:
                text = minhash.normal(said(example, self.on))
                near.add(text)
                count += 1
                spool.write(msgspec.json.encode(text) + b"\n")
            spool.seek(0)
            pairs = near.links(msgspec.json.decode(line, type=str) for line in spool)
        first = minhash.groups(count, pairs)
        yield from (index for index, leader in enumerate(first) if leader != index)


class Decontaminate(Whole, frozen=True, kw_only=True, tag="decontaminate"):
    """Drop examples that share `n` words in a row with a prompt of one of `suites`: an evaluation must not ask what was taught.

    Prompts shorter than `n` words count where the user says just the same.
    """

    suites: Annotated[tuple[str, ...], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=3, le=50)] = 8

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        from punie_build.data import minhash

        prompts = [minhash.normal(prompt) for name in self.suites for prompt in context.suites[name]]
        whole = set(prompts)
        long = [prompt for prompt in prompts if len(prompt.split()) >= self.n]
        found: set[int] = set()

        def texts() -> Iterator[str]:
            for index, example in enumerate(examples):
                if whole.intersection(minhash.normal(text) for text in example.texts("user")):
                    found.add(index)
                yield minhash.normal(example.text())

        found.update(match.text for match in minhash.contained(texts(), long, self.n))
        yield from sorted(found)


class Balance(Whole, frozen=True, kw_only=True, tag="balance"):
    """Keep at most `most` examples of each category, or of those in `categories`; which ones is a matter of hash and `seed`."""

    most: Annotated[int, Meta(ge=1)]
    categories: tuple[str, ...] = ()
    seed: int = 0

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        met: dict[str, list[tuple[float, int]]] = {}
        for index, example in enumerate(examples):
            category = example.category or ""
            if not self.categories or category in self.categories:
                met.setdefault(category, []).append((fraction(self.seed, "balance", example.content_hash()), index))
        for some in met.values():
            yield from (index for _, index in sorted(some)[self.most :])


class Sample(Whole, frozen=True, kw_only=True, tag="sample"):
    """Keep `most` examples, or a `share` of them, those of smallest hash: a larger sample only adds."""

    most: Annotated[int, Meta(ge=1)] | None = None
    share: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.most is None) == (self.share is None):
            raise ValueError("a sample has either `most` or `share` - give one of them")

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        places = [
            (fraction(self.seed, "sample", example.content_hash()), index) for index, example in enumerate(examples)
        ]
        if self.share is not None:
            return (index for place, index in places if place >= self.share)
        return (index for _, index in sorted(places)[self.most :])
