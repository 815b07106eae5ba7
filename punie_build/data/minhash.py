"""Find near-duplicate texts (MinHash LSH), and texts that share an n-gram with others.

The similarity of two texts is the Jaccard index of their sets of word shingles (`shingle` consecutive words, or
`shingle - 2` characters in scripts without blanks). MinHash
with bands proposes candidate pairs (Broder 1997; Leskovec et al., Mining of Massive Datasets, ch. 3), and the exact
index of each candidate is computed: results have no false positives, and the hashing decides only how many pairs are
missed (see `choose_bands`). Importing this module imports numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from punie_build.data.shingles import (
    BLOCK,
    Hashes,
    Indices,
    mix_bits,
    ngram,
    shingle_hashes,
    similarity_shingles,
    text_blocks,
)

PERMUTATIONS = 128  # hash functions of a signature
MAX_MISS_RATE = 0.01  # share of the pairs exactly at the threshold that the bands may miss


class NgramMatch(NamedTuple):
    """Text number `text` shares the words `ngram` with number `reference` of the reference texts."""

    text: int
    reference: int
    ngram: str


def choose_bands(threshold: float) -> tuple[int, int]:
    """Return (bands, rows per band): the most rows that miss at most `MAX_MISS_RATE` of the pairs at the threshold.

    A pair of index J is proposed with probability 1 - (1 - J**rows)**bands: at 0.8 that is 21 bands of 6 rows, which
    miss 0.2 % at 0.8 and propose 28 % at 0.5 and 2 % at 0.3.
    """
    fits = [r for r in range(1, PERMUTATIONS + 1) if (1 - threshold**r) ** (PERMUTATIONS // r) <= MAX_MISS_RATE]
    rows = max(fits, default=1)
    return PERMUTATIONS // rows, rows


class NearDuplicates:
    """An LSH index: texts are added one by one, then the pairs of near duplicates are computed.

    Memory: 8 bytes for each band and 16 for exact duplicates, so 184 bytes a text at the default threshold (480 while
    pairing), and 20 MB of working space, or 50 bytes for each byte of a text that is longer than `BLOCK`. `pairs` adds
    8 bytes a word for the texts that are in a candidate pair, and about 150 bytes for each pair it returns.
    """

    def __init__(self, threshold: float = 0.8, shingle: int = 5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: {threshold} is not a Jaccard index - use more than 0 and at most 1")
        if shingle < 1:
            raise ValueError(f"shingle: {shingle} words - use 1 or more")
        self.threshold, self.shingle = threshold, shingle
        self.bands, self.rows = choose_bands(threshold)
        self._pending: list[str] = []
        self._pending_size = 0
        self._sketches: list[Hashes] = []  # (texts of a block, 2 + bands): checksums of the shingles, then the bands

    def add(self, text: str) -> None:
        """Add a text. Texts are numbered from 0 in the order of adding."""
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            hashes, starts = similarity_shingles(self._pending, self.shingle)
            bands = self._band_keys(minhash_signatures(hashes, starts))
            self._sketches.append(np.hstack([_checksums(hashes, starts), bands]))
            self._pending, self._pending_size = [], 0

    def _band_keys(self, signature: NDArray[np.uint32]) -> Hashes:
        keys = np.zeros((len(signature), self.bands), np.uint64)
        for row in range(self.rows):
            keys = mix_bits(keys + signature[:, row : self.bands * self.rows : self.rows])
        return keys

    def _sketch(self) -> Hashes:
        self._flush()
        self._sketches = (
            [np.concatenate(self._sketches)] if self._sketches else [np.empty((0, 2 + self.bands), np.uint64)]
        )
        return self._sketches[0]

    def exact_duplicates(self) -> Indices:
        """Return, for each text, the first text with the same multiset of shingles, which may be the text itself."""
        _, first, inverse = np.unique(self._sketch()[:, :2], axis=0, return_index=True, return_inverse=True)
        return first[inverse.reshape(-1)].astype(np.int64)

    def candidates(self) -> Iterator[tuple[Indices, Indices]]:
        """Yield arrays i and j, i < j: each pair that shares a band, once. Later exact duplicates take no part."""
        sketch, representatives = self._sketch(), self._representatives()
        for band in range(2, 2 + self.bands):
            order = representatives[np.argsort(sketch[representatives, band], kind="stable")]
            positions, distance = np.arange(len(order)), 1  # equal keys are adjacent: compare at growing distance
            while len(positions := positions[positions + distance < len(order)]):
                positions = positions[sketch[order[positions], band] == sketch[order[positions + distance], band]]
                i, j = order[positions], order[positions + distance]
                new = (sketch[i, 2:band] != sketch[j, 2:band]).all(axis=1)  # an earlier band has yielded the others
                yield i[new], j[new]
                distance += 1

    def pairs(self, texts: Iterable[str]) -> list[tuple[int, int, float]]:
        """Return (i, j, Jaccard index) for i < j, sorted. `texts` are the texts that were added, in the same order.

        An exact duplicate is paired only with the first of its kind (index 1), which represents it in other pairs: a
        thousand equal texts give 999 pairs. A thousand near duplicates give half a million; use `spanning_pairs` for
        groups.
        """
        return self._verified(texts, spanning=False)

    def spanning_pairs(self, texts: Iterable[str]) -> list[tuple[int, int, float]]:
        """Return a subset of `pairs` with the same connected components, smaller than the number of texts.

        The choice of pairs depends on the order of the texts.
        """
        return self._verified(texts, spanning=True)

    def _verified(self, texts: Iterable[str], spanning: bool) -> list[tuple[int, int, float]]:
        duplicates = self.exact_duplicates()
        sets = self._shingle_sets(texts)
        indices = np.arange(len(duplicates))
        verified = [(int(duplicates[text]), int(text), 1.0) for text in np.flatnonzero(duplicates != indices)]
        parent = np.arange(len(duplicates))
        for lows, highs in self.candidates():
            selected = _roots(parent, lows) != _roots(parent, highs) if spanning else np.full(len(lows), True)
            for i, j in zip(lows[selected].tolist(), highs[selected].tolist(), strict=True):
                index = jaccard(sets[i], sets[j])
                if index < self.threshold:
                    continue
                low, high = sorted(_roots(parent, np.array([i, j])).tolist()) if spanning else (i, j)
                if low != high:
                    verified.append((i, j, index))
                    parent[high] = low
        return sorted(verified)

    def _representatives(self) -> Indices:
        """Return the texts that are not duplicates of an earlier text."""
        duplicates = self.exact_duplicates()
        return np.flatnonzero(duplicates == np.arange(len(duplicates)))

    def _shingle_sets(self, texts: Iterable[str]) -> dict[int, Hashes]:
        """Return the distinct shingle hashes, sorted, of each text that is in a candidate pair."""
        sketch, representatives = self._sketch(), self._representatives()
        paired = np.zeros(len(sketch), bool)
        for band in range(2, 2 + self.bands):
            _, inverse, count = np.unique(sketch[representatives, band], return_inverse=True, return_counts=True)
            paired[representatives] |= count[inverse] > 1
        sets: dict[int, Hashes] = {}
        start = 0
        for block in text_blocks(texts):
            chosen = np.flatnonzero(paired[start : start + len(block)]).tolist()
            if chosen:
                hashes, starts = similarity_shingles([block[index] for index in chosen], self.shingle)
                parts = np.split(hashes, starts[1:])
                sets.update((start + index, np.unique(part)) for index, part in zip(chosen, parts, strict=True))
            start += len(block)
        if start != len(paired):
            raise ValueError(f"texts: {len(paired)} were added, but {start} passed - pass the same in the same order")
        return sets


def near_duplicate_pairs(
    texts: Collection[str], threshold: float = 0.8, shingle: int = 5
) -> list[tuple[int, int, float]]:
    """Return `NearDuplicates.pairs` of texts that can be read twice."""
    near = NearDuplicates(threshold, shingle)
    for text in texts:
        near.add(text)
    return near.pairs(texts)


def connected_components(count: int, pairs: Iterable[tuple[int, int, float]]) -> list[int]:
    """Return, for each of `count` members, the smallest member of its component (union-find, path halving)."""
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = member = parent[parent[member]]
        return member

    for i, j, _ in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    return [root(member) for member in range(count)]


def ngram_matches(texts: Iterable[str], references: Sequence[str], n: int = 12) -> list[NgramMatch]:
    """Return the texts that share `n` consecutive words with any reference: the first match of each, lowest reference.

    A text of fewer than `n` words matches only references that consist of the same words. Hashes find the matches,
    and a comparison of the words confirms them. Memory: 16 bytes for each word of `references`; `texts` may be a
    stream.
    """
    reference_hashes, reference_starts = shingle_hashes(references, n)
    index, first = np.unique(reference_hashes, return_index=True)  # first occurrence, so the lowest reference
    matches: list[NgramMatch] = []
    start = 0
    for block in text_blocks(texts):
        hashes, starts = shingle_hashes(block, n)
        positions = np.searchsorted(index, hashes)
        hits = np.flatnonzero(index[np.minimum(positions, len(index) - 1)] == hashes) if len(index) else positions[:0]
        for hit in hits.tolist():
            number = int(np.searchsorted(starts, hit, "right")) - 1
            occurrence = first[positions[hit]]
            reference = int(np.searchsorted(reference_starts, occurrence, "right")) - 1
            if matches and matches[-1].text == start + number:
                continue
            words = ngram(block[number], hit - int(starts[number]), n)
            if words == ngram(references[reference], int(occurrence - reference_starts[reference]), n):
                matches.append(NgramMatch(start + number, reference, words))
        start += len(block)
    return matches


def jaccard(a: Hashes, b: Hashes) -> float:
    """Return the Jaccard index of two arrays without repetitions: size of the intersection over size of the union."""
    both = np.concatenate([a, b])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def minhash_signatures(hashes: Hashes, starts: Indices) -> NDArray[np.uint32]:
    """Return the MinHash signatures, shape (texts, PERMUTATIONS).

    Each permutation is a multiplication of the upper half of a hash by an odd number modulo 2**32.
    """
    halves = (hashes >> np.uint64(32)).astype(np.uint32)
    multipliers = (mix_bits(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64)) >> np.uint64(32)).astype(
        np.uint32
    ) | np.uint32(1)
    least = np.empty((PERMUTATIONS, len(starts)), np.uint32)
    permuted = np.empty_like(halves)
    for number in range(PERMUTATIONS):
        np.multiply(halves, multipliers[number], out=permuted)
        np.minimum.reduceat(permuted, starts, out=least[number])
    return least.T


def _checksums(hashes: Hashes, starts: Indices) -> Hashes:
    """Return two sums for each text, shape (texts, 2), equal for texts with the same multiset of shingles."""
    return np.column_stack([np.add.reduceat(values, starts) for values in (hashes, mix_bits(~hashes))])


def _roots(parent: Indices, members: Indices) -> Indices:
    """Return the smallest member that each is connected with, and shorten the paths."""
    roots = parent[members]
    while (parent[roots] != roots).any():
        roots = parent[roots]
    parent[members] = roots
    return roots
