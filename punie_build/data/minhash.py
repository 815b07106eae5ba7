"""Near duplicates: which texts are nearly the same, and which contain a piece of another.

Two texts are as near as the Jaccard index of their sets of word shingles (every `shingle` words in a row). MinHash with
bands proposes pairs (Broder 1997; Leskovec et al., Mining of Massive Datasets, ch. 3), and every proposed pair is
verified by its exact index: what is found is right, and the hashing decides only how much is missed (see `bands`).
The hashes are specified here and depend on no version and no machine.

A word is what ASCII whitespace separates (as `bytes.split`); `normal` makes a space of all other whitespace and agrees on
spellings, so texts go through it first. Importing this module imports numpy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128  # hash functions of a signature
BLOCK = 1 << 18  # characters hashed at once: the arrays of a block fit into a core's cache
MISSED = 0.01  # share of the pairs just at the threshold that the bands may miss

U64 = NDArray[np.uint64]
Ints = NDArray[np.int64]

_LETTER, _WORD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # bases of the two polynomials modulo 2**64, both odd
_SPACES = bytes(0 if byte in b" \t\n\r\v\f" else min(byte + 1, 255) for byte in range(256))  # UTF-8 has no byte 255
_LOWER = bytes(32 if chr(byte).isspace() else ord(chr(byte).lower()) for byte in range(128)) + bytes(128)
_DIGITS = re.compile(r"\d+")


def normal(text: str, digits: bool = False) -> str:
    """The text in NFKC, without case, spaces as one space. With `digits` each run of digits is "0": templates agree."""
    if text.isascii():  # the same, twice as fast
        lower = text.encode().translate(_LOWER)
        plain = (b" ".join(lower.split()) if b"  " in lower else lower.strip()).decode()
    else:
        folded = unicodedata.normalize("NFKC", text).casefold()
        plain = " ".join(unicodedata.normalize("NFKC", folded).split())  # case folding can leave the form
    return _DIGITS.sub("0", plain) if digits else plain


def key(text: str, digits: bool = False) -> bytes:
    """16 bytes, equal for texts that are equal once normal."""
    return blake2b(_utf8(normal(text, digits)), digest_size=16).digest()


class Match(NamedTuple):
    """`text` shares the words `ngram` with number `against` of the others."""

    text: int
    against: int
    ngram: str


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows of each): the most rows that miss at most `MISSED` of the pairs at the threshold.

    A pair of index J is proposed with probability 1 - (1 - J**rows)**bands: at 0.8 that is 21 bands of 6 rows, which
    miss 0.2 % at 0.8 and propose 28 % at 0.5 and 2 % at 0.3.
    """
    fits = [r for r in range(1, PERMUTATIONS + 1) if (1 - threshold**r) ** (PERMUTATIONS // r) <= MISSED]
    rows = max(fits, default=1)
    return PERMUTATIONS // rows, rows


class Near:
    """Collects texts one by one, then says which are near each other.

    Memory: 8 bytes for each band and 16 for the twins, so 184 bytes a text at the default threshold (480 while pairing),
    and 20 MB of working space, or 50 bytes for each byte of a text that is longer than `BLOCK`. `pairs` adds 8 bytes a
    word for the texts of which a candidate pair exists, and about 150 for each pair it finds.
    """

    def __init__(self, threshold: float = 0.8, shingle: int = 5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: {threshold} is not a Jaccard index - use more than 0 and at most 1")
        if shingle < 1:
            raise ValueError(f"shingle: {shingle} words - use 1 or more")
        self.threshold, self.shingle = threshold, shingle
        self.bands, self.rows = bands(threshold)
        self._waiting: list[str] = []
        self._size = 0
        self._sketches: list[U64] = []  # (texts of a block, 2 + bands): the sums that twins share, then the bands

    def add(self, text: str) -> None:
        """One more text; texts are numbered from 0 in the order of adding."""
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            hashes, starts = shingles(self._waiting, self.shingle)
            self._sketches.append(np.hstack([_sums(hashes, starts), self._banded(signatures(hashes, starts))]))
            self._waiting, self._size = [], 0

    def _banded(self, signature: NDArray[np.uint32]) -> U64:
        keys = np.zeros((len(signature), self.bands), np.uint64)
        for row in range(self.rows):
            keys = _mixed(keys + signature[:, row : self.bands * self.rows : self.rows])
        return keys

    def _sketch(self) -> U64:
        self._flush()
        self._sketches = (
            [np.concatenate(self._sketches)] if self._sketches else [np.empty((0, 2 + self.bands), np.uint64)]
        )
        return self._sketches[0]

    def twins(self) -> Ints:
        """For each text the first with the same shingles, each as often: itself when there is none."""
        _, first, which = np.unique(self._sketch()[:, :2], axis=0, return_index=True, return_inverse=True)
        return first[which.reshape(-1)].astype(np.int64)

    def candidates(self) -> Iterator[tuple[Ints, Ints]]:
        """Arrays i and j, i < j: every pair that shares a band, once. Of twins only the first takes part."""
        sketch, firsts = self._sketch(), self._firsts()
        for band in range(2, 2 + self.bands):
            order = firsts[np.argsort(sketch[firsts, band], kind="stable")]
            left, apart = np.arange(len(order)), 1  # places whose key may be that of the one `apart` places on
            while len(left := left[left + apart < len(order)]):
                left = left[sketch[order[left], band] == sketch[order[left + apart], band]]
                i, j = order[left], order[left + apart]
                fresh = (sketch[i, 2:band] != sketch[j, 2:band]).all(axis=1)  # the others came with an earlier band
                yield i[fresh], j[fresh]
                apart += 1

    def pairs(self, again: Iterable[str]) -> list[tuple[int, int, float]]:
        """(i, j, Jaccard index) for i < j, sorted. `again`: the same texts in the same order; only some are looked at.

        Twins are paired with the first of them only (index 1), and the first stands for them in other pairs: a thousand
        equal texts are 999 pairs. A thousand that nearly are, are half a million: `links` has what groups need.
        """
        return self._verified(again, every=True)

    def links(self, again: Iterable[str]) -> list[tuple[int, int, float]]:
        """Of `pairs` enough for the same `groups`, fewer than there are texts. Which ones depends on the order."""
        return self._verified(again, every=False)

    def _verified(self, again: Iterable[str], every: bool) -> list[tuple[int, int, float]]:
        twins = self.twins()
        sets = self._sets(again)
        found = [(int(twins[each]), int(each), 1.0) for each in np.flatnonzero(twins != np.arange(len(twins)))]
        parent = np.arange(len(twins))
        for ones, others in self.candidates():
            new = np.full(len(ones), True) if every else _roots(parent, ones) != _roots(parent, others)
            for i, j in zip(ones[new].tolist(), others[new].tolist(), strict=True):
                index = jaccard(sets[i], sets[j])
                if index < self.threshold:
                    continue
                low, high = (i, j) if every else sorted(_roots(parent, np.array([i, j])).tolist())
                if low != high:
                    found.append((i, j, index))
                    parent[high] = low
        return sorted(found)

    def _firsts(self) -> Ints:
        """The texts that are no later twin."""
        twins = self.twins()
        return np.flatnonzero(twins == np.arange(len(twins)))

    def _sets(self, again: Iterable[str]) -> dict[int, U64]:
        """The distinct hashes of each text that is in a candidate pair, sorted."""
        sketch, firsts = self._sketch(), self._firsts()
        wanted = np.zeros(len(sketch), bool)
        for band in range(2, 2 + self.bands):
            _, which, count = np.unique(sketch[firsts, band], return_inverse=True, return_counts=True)
            wanted[firsts] |= count[which] > 1
        sets: dict[int, U64] = {}
        seen = 0
        for block in _blocks(again):
            chosen = np.flatnonzero(wanted[seen : seen + len(block)]).tolist()
            if chosen:
                hashes, starts = shingles([block[place] for place in chosen], self.shingle)
                parts = np.split(hashes, starts[1:])
                sets.update((seen + place, np.unique(part)) for place, part in zip(chosen, parts, strict=True))
            seen += len(block)
        if seen != len(wanted):
            raise ValueError(f"texts: {len(wanted)} were added, {seen} came again - give the same in the same order")
        return sets


def pairs(texts: Collection[str], threshold: float = 0.8, shingle: int = 5) -> list[tuple[int, int, float]]:
    """`Near.pairs` of texts that can be gone through twice."""
    near = Near(threshold, shingle)
    for text in texts:
        near.add(text)
    return near.pairs(texts)


def groups(count: int, pairs: Iterable[tuple[int, int, float]]) -> list[int]:
    """For each of `count` members the smallest one it is connected with (union-find, path halving)."""
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = member = parent[parent[member]]
        return member

    for i, j, _ in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    return [root(member) for member in range(count)]


def contained(texts: Iterable[str], against: Sequence[str], n: int = 12) -> list[Match]:
    """The texts that share `n` words in a row with any of `against`: for each the first such place, lowest `against`.

    A text of fewer words takes part as a whole: it matches those that have the same words and no others. Hashes find
    the places, the words themselves decide. Memory: 16 bytes for each word of `against`; `texts` may be a stream.
    """
    hashes, starts = shingles(against, n)
    known, place = np.unique(hashes, return_index=True)  # the first place of each, so the lowest text
    found: list[Match] = []
    seen = 0
    for block in _blocks(texts):
        have, begins = shingles(block, n)
        at = np.searchsorted(known, have)
        hits = np.flatnonzero(known[np.minimum(at, len(known) - 1)] == have) if len(known) else at[:0]
        for hit in hits.tolist():
            number = int(np.searchsorted(begins, hit, "right")) - 1
            other = int(np.searchsorted(starts, place[at[hit]], "right")) - 1
            if found and found[-1].text == seen + number:
                continue
            ngram = _ngram(block[number], hit - int(begins[number]), n)
            if ngram == _ngram(against[other], int(place[at[hit]] - starts[other]), n):
                found.append(Match(seen + number, other, ngram))
        seen += len(block)
    return found


def jaccard(one: U64, other: U64) -> float:
    """Of two arrays without repetitions: how many both have, of those that any has."""
    both = np.concatenate([one, other])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def shingles(texts: Sequence[str], size: int) -> tuple[U64, Ints]:
    """(hashes of the shingles of all texts in a row, where each text's begin). Every text has one at least.

    A shingle's hash is the mixed polynomial of its words' hashes. A text of fewer words is one shingle, made up with
    words of hash 0: equal for equal short texts only.
    """
    words, begins = _words(texts)
    counts = np.diff(begins)
    have = np.maximum(counts - size + 1, 1)
    starts = np.cumsum(have) - have
    if not len(texts):
        return words, starts
    words = np.concatenate([words, np.zeros(size, np.uint64)])
    places = len(words) - size + 1
    rolled = np.zeros(places, np.uint64)
    for step in range(size):
        rolled *= np.uint64(_WORD)
        rolled += words[step : step + places]
    hashes = rolled[np.arange(int(have.sum())) + np.repeat(begins[:-1] - starts, have)]
    short = np.flatnonzero(counts < size)
    padded = np.zeros(len(short), np.uint64)
    for step in range(size):
        padded *= np.uint64(_WORD)
        padded += np.where(step < counts[short], words[np.minimum(begins[short] + step, len(words) - 1)], np.uint64(0))
    hashes[starts[short]] = padded
    return _mixed(hashes), starts


def signatures(hashes: U64, starts: Ints) -> NDArray[np.uint32]:
    """(texts, PERMUTATIONS): the least of (odd number * upper half of each hash) modulo 2**32, a permutation each."""
    halves = (hashes >> np.uint64(32)).astype(np.uint32)
    odd = (_mixed(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64)) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    least = np.empty((PERMUTATIONS, len(starts)), np.uint32)
    permuted = np.empty_like(halves)
    for number in range(PERMUTATIONS):
        np.multiply(halves, odd[number], out=permuted)
        np.minimum.reduceat(permuted, starts, out=least[number])
    return least.T


def _words(texts: Sequence[str]) -> tuple[U64, Ints]:
    """(hash of every word of all texts, where each text's words begin and where the last ends): polynomials of bytes."""
    parts = [_utf8(text) for text in texts]
    raw = np.frombuffer((b" " + b" ".join(parts) + b" ").translate(_SPACES), np.uint8)
    ends = np.cumsum([1, *(len(part) + 1 for part in parts)])
    inside = raw != 0
    starts = np.flatnonzero(inside[1:] > inside[:-1]) + 1
    if not len(starts):
        return np.empty(0, np.uint64), np.zeros(len(parts) + 1, np.int64)
    powers, inverses = _powers(max(len(raw) - 1, BLOCK).bit_length())
    sums = np.add.reduceat(raw * powers[: len(raw)], starts)
    return _mixed(sums * inverses[starts]), np.searchsorted(starts, ends)


@lru_cache(maxsize=4)
def _powers(bits: int) -> tuple[U64, U64]:
    """The powers of `_LETTER` and of its inverse modulo 2**64, from the 0th on, 2**bits of each."""
    odd = np.full((2, 1 << bits), _LETTER, np.uint64)
    odd[1] = pow(_LETTER, -1, 1 << 64)
    odd[:, 0] = 1
    powers = np.multiply.accumulate(odd, axis=1)
    return powers[0], powers[1]


def _mixed(x: U64) -> U64:
    """splitmix64's finalizer: a permutation of 64 bits in which each bit of the result depends on all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _sums(hashes: U64, starts: Ints) -> U64:
    """(texts, 2): two sums that agree when the shingles do, each as often."""
    return np.column_stack([np.add.reduceat(each, starts) for each in (hashes, _mixed(~hashes))])


def _roots(parent: Ints, members: Ints) -> Ints:
    """The smallest member that each is connected with; shortens the paths."""
    roots = parent[members]
    while (parent[roots] != roots).any():
        roots = parent[roots]
    parent[members] = roots
    return roots


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of about `BLOCK` characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _ngram(text: str, word: int, n: int) -> str:
    return b" ".join(_utf8(text).split()[word : word + n]).decode("utf-8", "surrogatepass")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a lone surrogate is no reason to stop
