"""Split examples so that no held-out example has a near copy in training, and find such overlaps.

Examples that belong together get the same split: those with the same first question (numbers in it are ignored,
because generators fill numbers into templates) and near duplicates. The split of such a group is a hash, so it does
not depend on the other examples: adding examples moves none of the others, unless a new one joins two groups.
`split_lock` stores assignments so that even then no example moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from punie_build.data.example import SPLITS, Example
from punie_build.data.mix import hash_fraction
from punie_build.schema.spec import Spec

Share = Annotated[float, Meta(ge=0, lt=1)]
NEAR_DUPLICATE = 0.8  # Jaccard index of word 5-grams from which two conversations are near duplicates
AMBIGUOUS = ""  # assigned to an example that is close to groups of two splits
_STRICTNESS = {AMBIGUOUS: 0, "train": 1, "valid": 2, "test": 3}  # of two copies the one in the stricter split stays

ExampleStream = Callable[[], Iterable[Example]]


class Split(Spec, frozen=True, kw_only=True):
    """The shares of examples for validation and test; the rest is for training.

    `group_by` selects the rules that keep examples together; with none, only equal examples stay together. With `lock`,
    the assignments are stored in `data/NAME.splits.lock` and never change.
    """

    valid: Share = 0.1
    test: Share = 0.0
    seed: int = 0
    group_by: tuple[Literal["prompt", "near-dup"], ...] = ("prompt", "near-dup")
    lock: bool = True

    def __post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test leave nothing to train on - make them smaller than 1 together")

    def share(self, split: str) -> float:
        """Return the share of examples that a split should have."""
        shares = {"valid": self.valid, "test": self.test}
        return shares.get(split, 1 - self.valid - self.test)

    def split_for(self, fraction: float) -> str:
        """Return `train`, `valid` or `test` for a number in [0, 1)."""
        return "test" if fraction < self.test else "valid" if fraction < self.test + self.valid else "train"


def assign(stream: ExampleStream, spec: Split) -> list[str]:
    """Return the split of every example, in order. Reads the stream once, and twice if near duplicates are grouped."""
    return assign_locked(stream, spec, {})[0]


def assign_locked(
    stream: ExampleStream, spec: Split, previous: Mapping[str, str], fixed: Sequence[str | None] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return (split of every example, split of every group by name), where groups of `previous` keep their split.

    `fixed` has the split of each example that has one already, else None: such an example keeps it, and the examples of
    its group get the same. An example without a split that is close to groups of two splits is AMBIGUOUS: no assigned
    group moves because of it. A fixed training example with the first question of a fixed held-out one, or a near
    duplicate of it, is AMBIGUOUS too. Without `previous` and `fixed` no example is AMBIGUOUS.
    """
    from punie_build.data import minhash, shingles

    near = minhash.NearDuplicates(NEAR_DUPLICATE) if "near-dup" in spec.group_by else None
    by_prompt = "prompt" in spec.group_by
    keys: list[bytes] = []
    for example in stream():
        text = example.group_key() if by_prompt else example.text()
        keys.append(shingles.text_hash(text, digits=by_prompt))
        if near:
            near.add(shingles.words(example.text()))
    own = list(fixed or [None] * len(keys))
    names = [key.hex()[:16] for key in keys]
    pairs = list(near.spanning_pairs(_texts(stream()))) if near else []
    leaders = minhash.connected_components(len(keys), [*pairs, *_equal_keys(keys)])
    groups = _Groups(spec)
    for leader, key, name, split in zip(leaders, keys, names, own, strict=True):
        groups.add(leader, hash_fraction(spec.seed, key.hex()), split or previous.get(name))
    groups.fill_empty()
    splits = [
        split or previous.get(name) or groups.split_of(leader)
        for leader, name, split in zip(leaders, names, own, strict=True)
    ]
    if groups.conflicts():
        _separate(splits, keys, near.pairs(_texts(stream())) if near else [])
    assigned = {
        name: split
        for name, split, known in zip(names, splits, own, strict=True)
        if split != AMBIGUOUS and known is None
    }
    return splits, dict(previous) | assigned


class _Groups:
    """The groups of examples: the smallest hash of each, and the splits that its examples have already."""

    def __init__(self, spec: Split) -> None:
        self.spec = spec
        self.fractions: dict[int, float] = {}
        self.known: dict[int, set[str]] = {}
        self.moved: dict[int, str] = {}

    def add(self, leader: int, fraction: float, split: str | None) -> None:
        """Add an example to the group of a leader."""
        self.fractions[leader] = min(fraction, self.fractions.get(leader, 1.0))
        if split:
            self.known.setdefault(leader, set()).add(split)

    def split_of(self, leader: int) -> str:
        """Return the split of the examples of a group that have none; AMBIGUOUS if the group has several."""
        choices = self.known.get(leader) or {self.moved.get(leader) or self.spec.split_for(self.fractions[leader])}
        return AMBIGUOUS if len(choices) > 1 else next(iter(choices))

    def conflicts(self) -> bool:
        """Return whether a group has examples of several splits."""
        return any(len(choices) > 1 for choices in self.known.values())

    def fill_empty(self) -> None:
        """Give each split that the recipe asks for a group, if there are free groups enough: small sets need it.

        The group comes from the split with the most groups, and is the one with the smallest hash there.
        """
        free = sorted((leader for leader in self.fractions if leader not in self.known), key=self._rank)
        if not free:
            return
        counts = Counter(self.split_of(leader) for leader in self.fractions)
        for split in [split for split in SPLITS if self.spec.share(split) and not counts[split]]:
            fewest = 0 if split == "train" else 1  # a lone group is for training
            donors = [leader for leader in free if counts[self.split_of(leader)] > fewest]
            if donors:
                donor = max(donors, key=lambda leader: (counts[self.split_of(leader)], -self._rank(leader)[0]))
                counts[self.split_of(donor)] -= 1
                self.moved[donor] = split
                counts[split] += 1

    def _rank(self, leader: int) -> tuple[float, int]:
        return self.fractions[leader], leader


def _separate(splits: list[str], keys: Sequence[bytes], near: Iterable[tuple[int, int, float]]) -> None:
    """Make the copies in training of held-out examples AMBIGUOUS; of a validation and a test example the first."""
    strictest: dict[bytes, int] = {}
    before = tuple(splits)  # an example that is left out here is still held back: its copies are left out too
    for key, split in zip(keys, splits, strict=True):
        strictest[key] = max(strictest.get(key, 0), _STRICTNESS[split])
    for index, key in enumerate(keys):
        if _STRICTNESS[before[index]] < strictest[key]:
            splits[index] = AMBIGUOUS
    for i, j, _ in near:
        if AMBIGUOUS != before[i] != before[j] != AMBIGUOUS:
            splits[i if _STRICTNESS[before[i]] < _STRICTNESS[before[j]] else j] = AMBIGUOUS


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    from punie_build.data import shingles

    return (shingles.words(example.text()) for example in examples)


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
        text, full_text = example.text(), example.full_text()
        keys["same"].append(shingles.text_hash(full_text))
        keys["template"].append(shingles.text_hash(full_text, digits=True))
        keys["prompt"].append(shingles.text_hash(example.group_key(), digits=True))
        near.add(shingles.words(text))
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
