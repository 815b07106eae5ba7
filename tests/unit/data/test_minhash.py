from __future__ import annotations

import itertools
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.minhash import (
    NearDuplicates,
    NgramMatch,
    choose_bands,
    connected_components,
    minhash_signatures,
    near_duplicate_pairs,
    ngram_matches,
)
from punie_build.data.shingles import BLOCK, is_unspaced, normalize, shingle_hashes, text_hash
from tests.support.profiles import examples

WORDS = [f"{a}{b}" for a in ("green", "river", "stone", "wind", "paper") for b in range(200)]
small = st.lists(st.lists(st.sampled_from("a b c d é 雨 🙂".split()), max_size=9).map(" ".join), max_size=12)


def shingled(text: str, size: int) -> frozenset[tuple[str, ...]]:
    words = text.split()
    return frozenset(tuple(words[start : start + size]) for start in range(max(len(words) - size + 1, 1)))


def jaccard_index(first: str, second: str, size: int = 5) -> float:
    a, b = (shingled(text, max(size - 2, 1) if is_unspaced(text) else size) for text in (first, second))
    return len(a & b) / len(a | b)


def index_of(texts: list[str], threshold: float = 0.8, shingle: int = 5) -> NearDuplicates:
    near = NearDuplicates(threshold, shingle)
    for text in texts:
        near.add(text)
    return near


def planted(seed: int, count: int = 400, length: int = 120) -> list[str]:
    """Return texts of random words, each followed by a copy in which up to six words are replaced."""
    r = Random(seed)
    texts = []
    for _ in range(count):
        words = r.choices(WORDS, k=length)
        texts.append(" ".join(words))
        for position in r.sample(range(length), r.randint(1, 6)):
            words[position] = r.choice(WORDS)
        texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize(
    ("text", "normalized", "masked"),
    [
        ("", "", ""),
        ("  Two\t Words \n", "two words", "two words"),
        ("a\x1cb\x0bc\x85d", "a b c d", "a b c d"),
        ("Straße ﬁn", "strasse fin", "strasse fin"),
        ("a\u00a0b\u2003c\u3000d", "a b c d", "a b c d"),
        ("e\u0301 É", "é é", "é é"),
        ("Room 12, 3.14 ４２ and ٣٤", "room 12, 3.14 42 and ٣٤", "room 0, 0.0 0 and 0"),
        ("x\ud800", "x\ud800", "x\ud800"),
    ],
)
def test_normalize_unifies_spellings(text: str, normalized: str, masked: str):
    assert normalize(text) == normalized
    assert normalize(text, digits=True) == masked
    assert text_hash(text) == text_hash(normalized)
    assert text_hash(text, digits=True) == text_hash(masked)


@given(st.text(), st.booleans())
@pytest.mark.slow
def test_normalize_is_idempotent_and_treats_ascii_alike(text: str, digits: bool):
    assert normalize(normalize(text, digits), digits) == normalize(text, digits)
    ascii_text = "".join(letter for letter in text if letter.isascii())
    assert normalize(f"{ascii_text} ü", digits) == f"{normalize(ascii_text, digits)} ü".strip()


@pytest.mark.slow
@given(small, st.sampled_from([1, 2, 3, 5]), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_pairs_are_the_candidates_that_reach_the_threshold(texts: list[str], size: int, threshold: float):
    near = index_of(texts, threshold, size)
    duplicates = near.exact_duplicates().tolist()
    proposed = [(int(i), int(j)) for first, second in near.candidates() for i, j in zip(first, second, strict=True)]
    assert len(set(proposed)) == len(proposed)
    true = {(i, j, jaccard_index(texts[i], texts[j], size)) for i, j in proposed}
    copies = {(first, text, 1.0) for text, first in enumerate(duplicates) if first != text}
    pairs = near.pairs(texts)
    assert pairs == sorted({pair for pair in true if pair[2] >= threshold} | copies)
    assert all(i < j and jaccard_index(texts[i], texts[j], size) == value for i, j, value in pairs)
    equal = {frozenset((i, j)) for i, j in itertools.combinations(range(len(texts)), 2) if texts[i] == texts[j]}
    components = connected_components(len(texts), pairs)
    assert all(components[i] == components[j] for i, j in equal)
    assert connected_components(len(texts), near.spanning_pairs(texts)) == components


def test_planted_pairs_are_found():
    texts = planted(1)
    near = {(i, i + 1) for i in range(0, len(texts), 2) if jaccard_index(texts[i], texts[i + 1]) >= 0.8}
    pairs = near_duplicate_pairs(texts)
    assert len(near) > 100
    assert len(near & {(i, j) for i, j, _ in pairs}) >= 0.97 * len(near)
    assert all(value >= 0.8 and value == jaccard_index(texts[i], texts[j]) for i, j, value in pairs)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_miss_few_pairs_at_the_threshold(threshold: float):
    count, rows = choose_bands(threshold)
    assert (1 - threshold**rows) ** count <= 0.01
    assert choose_bands(0.8) == (21, 6)


def test_a_very_low_threshold_uses_bands_of_one_row():
    assert choose_bands(0.001) == (128, 1)


def test_signatures_estimate_the_jaccard_index():
    texts = planted(2, count=200)
    table = minhash_signatures(*shingle_hashes(texts, 5))
    errors = [
        float(np.mean(table[i] == table[i + 1])) - jaccard_index(texts[i], texts[i + 1])
        for i in range(0, len(texts), 2)
    ]
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.05


def test_the_order_of_texts_does_not_change_the_pairs():
    texts = [*planted(3, count=60), "short", "short", "", "one two three"]
    shuffled = Random(0).sample(texts, len(texts))
    assert {(frozenset((texts[i], texts[j])), value) for i, j, value in near_duplicate_pairs(texts)} == {
        (frozenset((shuffled[i], shuffled[j])), value) for i, j, value in near_duplicate_pairs(shuffled)
    }


def test_blocks_do_not_change_hashes():
    r = Random(4)
    texts = [" ".join(r.choices(WORDS, k=r.choice([0, 1, 4, 5, 6, 300]))) for _ in range(600)]
    assert sum(map(len, texts)) > BLOCK
    hashes, starts = shingle_hashes(texts, 5)
    for text, part in zip(texts, np.split(hashes, starts[1:]), strict=True):
        single, begin = shingle_hashes([text], 5)
        assert begin.tolist() == [0]
        assert np.array_equal(single, part)
    texts += texts[::-1]
    assert index_of(texts).exact_duplicates().tolist() == [texts.index(text) for text in texts]


HASHES = [0, 14888893999284969726, 14716349816462665329, 7974478503201736656, 573341079060133133]
SIGNATURES = [
    [0, 0, 0],
    [2816075265, 1972514115, 4132069643],
    [59668336, 2833519184, 95400400],
    [2432785788, 3924036468, 2778957908],
]
SKETCHES = [
    [0, 13029008266876403067, 0, 0],
    [14888893999284969726, 6723179318237116025, 14565681559229187083, 3447094228688841609],
    [4244084245954850369, 17278097927140107542, 8317236365738208370, 3782664644267412137],
    [573341079060133133, 11330021751757550150, 8460392039203436520, 12104625477266949161],
]


def test_hashes_and_signatures_stay_the_same():
    """Pin the results. A changed algorithm changes the fingerprint of `near-dedup` too: write new numbers here."""
    texts = ["", "one", "a b c d e f", "Größe 雨 \ud800 🙂 naïve"]
    hashes, starts = shingle_hashes(texts, 5)
    table = minhash_signatures(hashes, starts)
    assert hashes.tolist() == HASHES
    assert starts.tolist() == [0, 1, 2, 4]
    assert table[:, [0, 1, 127]].tolist() == SIGNATURES
    assert index_of(texts)._sketch()[:, [0, 1, 2, 22]].tolist() == SKETCHES


def test_another_process_computes_the_same_hashes():
    code = "from punie_build.data.shingles import shingle_hashes; print(shingle_hashes(['a b c d e f'], 5)[0].tolist())"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == str(shingle_hashes(["a b c d e f"], 5)[0].tolist())


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [
        ("", "", True),
        ("", " \n", True),
        ("", "a", False),
        ("word", "word", True),
        ("word", "ward", False),
        ("a b", "b a", False),
        ("a b c d", "a  b\tc\nd", True),
        ("a b c d", "a b c d e", False),
        ("a", "a\0", False),
        ("\0", "", False),
        ("雨 が 降る", "雨 が 降る", True),
        ("a\u00a0b", "a b", False),
        ("\ud800", "\ud801", False),
    ],
)
def test_short_texts_are_near_only_if_their_words_are_equal(first: str, second: str, near: bool):
    assert near_duplicate_pairs([first, second]) == ([(0, 1, 1.0)] if near else [])
    assert near_duplicate_pairs(["x y z", first, "some other text of six words", second]) == (
        [(1, 3, 1.0)] if near else []
    )


def test_empty_input_gives_empty_output():
    assert near_duplicate_pairs([]) == []
    assert NearDuplicates().spanning_pairs([]) == []
    assert ngram_matches([], ["a"]) == []
    assert ngram_matches(["a"], []) == []
    assert connected_components(0, []) == []


@pytest.mark.slow
def test_a_long_text_among_short_ones():
    r = Random(5)
    words = [f"w{r.randrange(10**6)}" for _ in range(140_000)]
    long = " ".join(words)
    words[1000] = "changed"
    texts = ["short", long, "x" * 300_000, " ".join(words), "short"]
    assert len(long) > 1_000_000
    (_, _, first), (i, j, value) = near_duplicate_pairs(texts)
    assert (first, i, j) == (1.0, 1, 3)
    assert value == jaccard_index(texts[1], texts[3])


def test_exact_duplicates_are_paired_only_with_the_first():
    texts = ["a b c d e f g"] * 5000 + ["a b c d e f g h"]
    assert near_duplicate_pairs(texts, threshold=0.7) == [
        *((0, number, 1.0) for number in range(1, 5000)),
        (0, 5000, 0.75),
    ]


@pytest.mark.slow
def test_spanning_pairs_are_few_where_pairs_are_many():
    r = Random(6)
    words = r.choices(WORDS, k=100)
    texts = [" ".join([*words, str(number)]) for number in range(300)]
    near = index_of(texts)
    every, spanning = near.pairs(texts), near.spanning_pairs(texts)
    assert len(every) == 300 * 299 // 2
    assert len(spanning) == 299
    assert set(spanning) <= set(every)
    assert connected_components(300, every) == connected_components(300, spanning) == [0] * 300


def test_texts_can_be_added_after_pairs_were_computed():
    near = index_of(["a b c", "d"])
    assert near.pairs(["a b c", "d"]) == []
    near.add("a b c")
    assert near.pairs(iter(["a b c", "d", "a b c"])) == [(0, 2, 1.0)]


def test_passing_other_texts_the_second_time_is_an_error():
    with pytest.raises(ValueError, match="2 were added, but 1 passed - pass the same"):
        index_of(["a", "b"]).pairs(["a"])


@pytest.mark.parametrize(
    ("threshold", "shingle", "message"), [(0, 5, "Jaccard"), (1.1, 5, "Jaccard"), (0.5, 0, "words")]
)
def test_invalid_parameters_are_errors(threshold: float, shingle: int, message: str):
    with pytest.raises(ValueError, match=message):
        NearDuplicates(threshold, shingle)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_do_not_depend_on_the_order_of_pairs(graph: tuple[int, list[tuple[int, int]]]):
    count, edges = graph
    reached = [{member} for member in range(count)]
    for _ in range(count):
        for i, j in edges:
            reached[i] |= reached[j]
            reached[j] |= reached[i]
    expected = [min(component) for component in reached]
    pairs = [(i, j, 1.0) for i, j in edges]
    assert connected_components(count, pairs) == connected_components(count, pairs[::-1]) == expected


SECRET = "the quick brown fox jumps over the lazy dog near the old stone bridge tonight"


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        (f"before {SECRET} after", 12, (1, "the quick brown fox jumps over the lazy dog near the old")),
        ("and fox jumps  over\nthe lazy cat", 5, (1, "fox jumps over the lazy")),
        ("fox jumps over the tired cat", 5, None),
        ("nothing of the kind at all", 3, None),
        ("two words", 12, (0, "two words")),
        ("two words more", 12, None),
        ("", 12, None),
        (SECRET, 100, (1, SECRET)),
    ],
)
def test_a_match_has_the_shared_words(text: str, n: int, expected: tuple[int, str] | None):
    matches = ngram_matches(iter(["something else", text, "again nothing"]), ["two words", SECRET, SECRET], n)
    assert matches == ([NgramMatch(1, *expected)] if expected else [])


@examples(50)
@given(small, small, st.integers(1, 4))
def test_ngram_matches_agree_with_brute_force(texts: list[str], references: list[str], n: int):
    def grams(text: str) -> list[str]:
        words = text.split()
        return [" ".join(words[start : start + n]) for start in range(max(len(words) - n + 1, 1))]

    expected = []
    for number, text in enumerate(texts):
        matches = ((j, gram) for gram in grams(text) for j, other in enumerate(references) if gram in grams(other))
        if first := next(matches, None):
            expected.append(NgramMatch(number, *first))
    assert ngram_matches(texts, references, n) == expected


def test_ngram_matches_across_blocks():
    r = Random(7)
    texts = [" ".join(r.choices(WORDS, k=100)) for _ in range(1000)]
    texts[777] += f" {SECRET}"
    assert [(match.text, match.reference) for match in ngram_matches(texts, [SECRET])] == [(777, 0)]
