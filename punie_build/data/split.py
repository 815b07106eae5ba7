"""Split examples so that no held-out example has a near copy in training, and find such overlaps.

Examples that belong together get the same split: those with the same first question (numbers in it are ignored,
because generators fill numbers into templates) and near duplicates. The split of such a group is a hash, so it does
not depend on the other examples: adding examples moves none of the others, unless a new one joins two groups.
`split_lock` stores assignments so that even then no example moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from punie_build.data.example import SPLITS, Example
from punie_build.data.mix import hash_fraction
from punie_build.schema.spec import Spec

Share = Annotated[float, Meta(ge=0, lt=1)]
NEAR_DUPLICATE = 0.8  # Jaccard index of word 5-grams from which two conversations are near duplicates
AMBIGUOUS = ""  # assigned to an example that is close to groups of two splits

ExampleStream = Callable[[], Iterable[Example]]


class Split(Spec, frozen=True, kw_only=True):
    """The shares of examples for validation and test; the rest is for training.

    `group_by` selects the rules that keep examples together. With `lock`, the assignments are stored in
    `data/NAME.splits.lock` and never change.
    """

    valid: Share = 0.1
    test: Share = 0.0
    seed: int = 0
    group_by: tuple[Literal["prompt", "near-dup"], ...] = ("prompt", "near-dup")
    lock: bool = True

    def __post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test leave nothing to train on - make them smaller than 1 together")

    def split_for(self, fraction: float) -> str:
        """Return `train`, `valid` or `test` for a number in [0, 1)."""
        return "test" if fraction < self.test else "valid" if fraction < self.test + self.valid else "train"


def assign(stream: ExampleStream, spec: Split) -> list[str]:
    """Return the split of every example, in order. Reads the stream once, and twice if near duplicates are grouped."""
    return assign_locked(stream, spec, {})[0]


def assign_locked(stream: ExampleStream, spec: Split, previous: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return (split of every example, split of every group by name), where groups of `previous` keep their split.

    An example that is close to groups of two different splits is AMBIGUOUS: no assigned group moves because of it.
    Without `previous` no example is AMBIGUOUS.
    """
    from punie_build.data import minhash, shingles

    near = minhash.NearDuplicates(NEAR_DUPLICATE) if "near-dup" in spec.group_by else None
    by_prompt = "prompt" in spec.group_by
    keys: list[bytes] = []
    names: list[str] = []
    for example in stream():
        keys.append(shingles.text_hash(example.group_key(), digits=True))
        names.append((keys[-1] if by_prompt else shingles.text_hash(example.text())).hex()[:16])
        if near:
            near.add(shingles.normalize(example.text()))
    pairs = list(near.spanning_pairs(_texts(stream()))) if near else []
    leaders = minhash.connected_components(len(keys), [*pairs, *_equal_keys(keys if by_prompt else ())])
    fractions: dict[int, float] = {}
    locked: dict[int, set[str]] = {}
    for leader, key, name in zip(leaders, keys, names, strict=True):
        fractions[leader] = min(hash_fraction(spec.seed, key.hex()), fractions.get(leader, 1.0))
        if name in previous:
            locked.setdefault(leader, set()).add(previous[name])

    def split_of(leader: int, name: str) -> str:
        choices = locked.get(leader, {spec.split_for(fractions[leader])})
        return previous[name] if name in previous else AMBIGUOUS if len(choices) > 1 else next(iter(choices))

    splits = [split_of(leader, name) for leader, name in zip(leaders, names, strict=True)]
    if near and any(len(choices) > 1 for choices in locked.values()):
        for i, j, _ in near.pairs(_texts(stream())):
            if AMBIGUOUS != splits[i] != splits[j] != AMBIGUOUS:
                splits[i if splits[i] == "train" else j] = AMBIGUOUS
    assigned = {name: split for name, split in zip(names, splits, strict=True) if split != AMBIGUOUS}
    return splits, dict(previous) | assigned


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    from punie_build.data import shingles

    return (shingles.normalize(example.text()) for example in examples)


def _equal_keys(keys: Sequence[bytes]) -> Iterator[tuple[int, int, float]]:
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        if (other := first.setdefault(key, index)) != index:
            yield other, index, 1.0


class SplitOverlap(Struct, frozen=True, kw_only=True):
    """A held-out example with a copy in training.

    `how` is `same` (equal text), `template` (equal except for numbers), `prompt` (same first question) or `near` (near
    duplicate with Jaccard index `index`). `row` and `train` are line numbers from 1 within the splits' files.
    """

    how: str
    split: str
    row: int
    train: int
    index: float = 1.0


def find_overlaps(stream: Callable[[], Iterable[tuple[str, Example]]]) -> list[SplitOverlap]:
    """Return every held-out row that has a copy in training, each with its closest kind.

    `stream` returns (split, example) pairs and is read twice.
    """
    from punie_build.data import minhash, shingles

    rows: list[tuple[str, int]] = []
    near = minhash.NearDuplicates(NEAR_DUPLICATE)
    keys: dict[str, list[bytes]] = {"same": [], "template": [], "prompt": []}
    counts = dict.fromkeys(SPLITS, 0)
    for split, example in stream():
        counts[split] += 1
        rows.append((split, counts[split]))
        text = example.text()
        keys["same"].append(shingles.text_hash(text))
        keys["template"].append(shingles.text_hash(text, digits=True))
        keys["prompt"].append(shingles.text_hash(example.group_key(), digits=True))
        near.add(shingles.normalize(text))
    overlaps: dict[int, SplitOverlap] = {}
    pairs = near.pairs(_texts(example for _, example in stream()))
    for how, row, train, index in _overlap_candidates([split for split, _ in rows], keys, pairs):
        split, number = rows[row]
        if split != "train" and row not in overlaps:
            overlaps[row] = SplitOverlap(how=how, split=split, row=number, train=rows[train][1], index=index)
    return [overlaps[row] for row in sorted(overlaps)]


def _overlap_candidates(
    splits: Sequence[str], keys: Mapping[str, Sequence[bytes]], pairs: Iterable[tuple[int, int, float]]
) -> Iterator[tuple[str, int, int, float]]:
    """Yield (kind, row, training row, Jaccard index), the closest kinds first."""
    for how, column in keys.items():
        trained = {key: row for row, key in enumerate(column) if splits[row] == "train"}
        yield from ((how, row, trained[key], 1.0) for row, key in enumerate(column) if key in trained)
    for i, j, index in pairs:
        for row, other in ((i, j), (j, i)):
            if splits[other] == "train":
                yield "near", row, other, round(index, 3)
