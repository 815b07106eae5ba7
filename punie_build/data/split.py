"""Splitting: which examples train, and which are held back, so that nothing of what is asked later was learnt.

Examples that belong together are on one side: those with the same first question (whatever its numbers: a generator's templates)
and those that nearly say the same. The side of such a group is a hash, so it does not depend on what else there is: adding
examples moves none of the others, unless a new one joins two groups that were apart. Against that, `assignments` remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from punie_build.data.example import SPLITS, Example
from punie_build.data.mix import fraction
from punie_build.schema.spec import Spec

Share = Annotated[float, Meta(ge=0, lt=1)]
NEAR = 0.8  # Jaccard index of word 5-grams from which two conversations count as one


class Split(Spec, frozen=True, kw_only=True):
    """Shares of examples for validation and test; the rest trains. `group_by`: what keeps examples together. `lock`: whether the
    sides are kept in `data/NAME.splits.lock`, for good."""

    valid: Share = 0.1
    test: Share = 0.0
    seed: int = 0
    group_by: tuple[Literal["prompt", "near-dup"], ...] = ("prompt", "near-dup")
    lock: bool = True

    def __post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test leave nothing to train on - make them smaller than 1 together")

    def side(self, place: float) -> str:
        """`train`, `valid` or `test`, for a place in [0, 1)."""
        return "test" if place < self.test else "valid" if place < self.test + self.valid else "train"


Stream = Callable[[], Iterable[Example]]


BETWEEN = ""  # in place of a side: it belongs to groups of two sides


def sides(stream: Stream, split: Split) -> list[str]:
    """The side of every example, in order. The stream is gone through once, and once more where near duplicates count."""
    return assigned(stream, split, {})[0]


def assigned(stream: Stream, split: Split, held: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """(the side of every example, the side of every group by name), where the groups of `held` keep the side they have.

    An example is BETWEEN if it says what both sides have: nothing that was held is moved for it. Nothing is BETWEEN while nothing
    is held.
    """
    from punie_build.data import minhash

    near = minhash.Near(NEAR) if "near-dup" in split.group_by else None
    prompts = "prompt" in split.group_by
    keys: list[bytes] = []
    names: list[str] = []
    for example in stream():
        keys.append(minhash.key(example.group_key(), digits=True))
        names.append((keys[-1] if prompts else minhash.key(example.text())).hex()[:16])
        if near:
            near.add(minhash.normal(example.text()))
    pairs = list(near.links(minhash.normal(example.text()) for example in stream())) if near else []
    leaders = minhash.groups(len(keys), [*pairs, *_same(keys if prompts else ())])
    least: dict[int, float] = {}
    given: dict[int, set[str]] = {}
    for leader, key, name in zip(leaders, keys, names, strict=True):
        least[leader] = min(fraction(split.seed, key.hex()), least.get(leader, 1.0))
        if name in held:
            given.setdefault(leader, set()).add(held[name])

    def side(leader: int, name: str) -> str:
        among = given.get(leader, {split.side(least[leader])})
        return held[name] if name in held else BETWEEN if len(among) > 1 else next(iter(among))

    found = [side(leader, name) for leader, name in zip(leaders, names, strict=True)]
    if near and any(len(among) > 1 for among in given.values()):
        for i, j, _ in near.pairs(minhash.normal(example.text()) for example in stream()):
            if BETWEEN != found[i] != found[j] != BETWEEN:
                found[i if found[i] == "train" else j] = BETWEEN
    return found, dict(held) | {name: side for name, side in zip(names, found, strict=True) if side != BETWEEN}


def _same(keys: Sequence[bytes]) -> Iterator[tuple[int, int, float]]:
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        if (other := first.setdefault(key, index)) != index:
            yield other, index, 1.0


class Leak(Struct, frozen=True, kw_only=True):
    """An example of a held-back side that training saw: `how` is `same`, `template` (but for numbers), `prompt` or `near`."""

    how: str
    side: str
    row: int
    train: int
    index: float = 1.0


def leaks(stream: Callable[[], Iterable[tuple[str, Example]]]) -> list[Leak]:
    """What is on two sides: every held-back row that has a twin in training, each under its nearest kind.

    Rows are numbered from 1 within their side, as lines of its file. The stream is gone through twice.
    """
    from punie_build.data import minhash

    rows: list[tuple[str, int]] = []
    near = minhash.Near(NEAR)
    names: tuple[list[bytes], ...] = ([], [], [])
    counts = dict.fromkeys(SPLITS, 0)
    for side, example in stream():
        counts[side] += 1
        rows.append((side, counts[side]))
        text = example.text()
        for keys, said, digits in zip(names, (text, text, example.group_key()), (False, True, True), strict=True):
            keys.append(minhash.key(said, digits))
        near.add(minhash.normal(text))
    found: dict[int, Leak] = {}
    for how, keys in zip(("same", "template", "prompt"), names, strict=True):
        trained = {key: index for index, key in enumerate(keys) if rows[index][0] == "train"}
        for index, key in enumerate(keys):
            if rows[index][0] != "train" and key in trained and index not in found:
                found[index] = Leak(how=how, side=rows[index][0], row=rows[index][1], train=rows[trained[key]][1])
    for i, j, value in near.pairs(minhash.normal(example.text()) for _, example in stream()):
        for held, other in ((i, j), (j, i)):
            if rows[held][0] != "train" and rows[other][0] == "train" and held not in found:
                found[held] = Leak(
                    how="near", side=rows[held][0], row=rows[held][1], train=rows[other][1], index=round(value, 3)
                )
    return [found[index] for index in sorted(found)]
