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
    BLOCK,
    Match,
    Near,
    bands,
    contained,
    groups,
    key,
    normal,
    pairs,
    shingles,
    signatures,
)
from tests.support.profiles import examples

WORDS = [f"{a}{b}" for a in ("green", "river", "stone", "wind", "paper") for b in range(200)]
small = st.lists(st.lists(st.sampled_from("a b c d é 雨 🙂".split()), max_size=9).map(" ".join), max_size=12)


def shingled(text: str, size: int) -> frozenset[tuple[str, ...]]:
    words = text.split()
    return frozenset(tuple(words[at : at + size]) for at in range(max(len(words) - size + 1, 1)))


def index(one: str, other: str, size: int = 5) -> float:
    a, b = shingled(one, size), shingled(other, size)
    return len(a & b) / len(a | b)


def collected(texts: list[str], threshold: float = 0.8, shingle: int = 5) -> Near:
    near = Near(threshold, shingle)
    for text in texts:
        near.add(text)
    return near


def planted(seed: int, count: int = 400, length: int = 120) -> list[str]:
    """Texts of random words, each followed by a copy in which up to six words are others."""
    r = Random(seed)
    texts = []
    for _ in range(count):
        words = r.choices(WORDS, k=length)
        texts.append(" ".join(words))
        for place in r.sample(range(length), r.randint(1, 6)):
            words[place] = r.choice(WORDS)
        texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize(
    ("text", "plain", "masked"),
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
def test_normal_agrees_on_spellings(text: str, plain: str, masked: str):
    assert normal(text) == plain
    assert normal(text, digits=True) == masked
    assert key(text) == key(plain)
    assert key(text, digits=True) == key(masked)


@given(st.text(), st.booleans())
def test_normal_twice_is_normal_once_and_ascii_is_no_special_case(text: str, digits: bool):
    assert normal(normal(text, digits), digits) == normal(text, digits)
    alone = "".join(letter for letter in text if letter.isascii())
    assert normal(f"{alone} ü", digits) == f"{normal(alone, digits)} ü".strip()


@given(small, st.sampled_from([1, 2, 3, 5]), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_the_pairs_are_the_candidates_whose_index_reaches_the_threshold(texts: list[str], size: int, threshold: float):
    near = collected(texts, threshold, size)
    twins = near.twins().tolist()
    proposed = [(int(i), int(j)) for ones, others in near.candidates() for i, j in zip(ones, others, strict=True)]
    assert len(set(proposed)) == len(proposed)
    true = {(i, j, index(texts[i], texts[j], size)) for i, j in proposed}
    copies = {(first, each, 1.0) for each, first in enumerate(twins) if first != each}
    found = near.pairs(texts)
    assert found == sorted({each for each in true if each[2] >= threshold} | copies)
    assert all(i < j and index(texts[i], texts[j], size) == exactly for i, j, exactly in found)
    equal = {frozenset((i, j)) for i, j in itertools.combinations(range(len(texts)), 2) if texts[i] == texts[j]}
    together = groups(len(texts), found)
    assert all(together[i] == together[j] for i, j in equal)
    assert groups(len(texts), near.links(texts)) == together


def test_planted_pairs_are_found():
    texts = planted(1)
    near = {(i, i + 1) for i in range(0, len(texts), 2) if index(texts[i], texts[i + 1]) >= 0.8}
    found = pairs(texts)
    assert len(near) > 100
    assert len(near & {(i, j) for i, j, _ in found}) >= 0.97 * len(near)
    assert all(exactly >= 0.8 and exactly == index(texts[i], texts[j]) for i, j, exactly in found)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_miss_little_at_the_threshold(threshold: float):
    count, rows = bands(threshold)
    assert (1 - threshold**rows) ** count <= 0.01
    assert bands(0.8) == (21, 6)


def test_a_threshold_too_low_for_the_bands_takes_single_rows():
    assert bands(0.001) == (128, 1)


def test_signatures_estimate_the_index():
    texts = planted(2, count=200)
    table = signatures(*shingles(texts, 5))
    errors = [float(np.mean(table[i] == table[i + 1])) - index(texts[i], texts[i + 1]) for i in range(0, len(texts), 2)]
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.05


def test_order_changes_no_pair():
    texts = [*planted(3, count=60), "short", "short", "", "one two three"]
    shuffled = Random(0).sample(texts, len(texts))
    assert {(frozenset((texts[i], texts[j])), exactly) for i, j, exactly in pairs(texts)} == {
        (frozenset((shuffled[i], shuffled[j])), exactly) for i, j, exactly in pairs(shuffled)
    }


def test_blocks_change_nothing():
    r = Random(4)
    texts = [" ".join(r.choices(WORDS, k=r.choice([0, 1, 4, 5, 6, 300]))) for _ in range(600)]
    assert sum(map(len, texts)) > BLOCK
    hashes, starts = shingles(texts, 5)
    for text, part in zip(texts, np.split(hashes, starts[1:]), strict=True):
        alone, begin = shingles([text], 5)
        assert begin.tolist() == [0]
        assert np.array_equal(alone, part)
    texts += texts[::-1]
    assert collected(texts).twins().tolist() == [texts.index(text) for text in texts]


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


def test_the_algorithm_is_the_one_its_version_names():
    """Fails when results change: the code fingerprint of `near-dedup` changes with them; write the new numbers here."""
    texts = ["", "one", "a b c d e f", "Größe 雨 \ud800 🙂 naïve"]
    hashes, starts = shingles(texts, 5)
    table = signatures(hashes, starts)
    assert hashes.tolist() == HASHES
    assert starts.tolist() == [0, 1, 2, 4]
    assert table[:, [0, 1, 127]].tolist() == SIGNATURES
    assert collected(texts)._sketch()[:, [0, 1, 2, 22]].tolist() == SKETCHES


def test_another_process_hashes_alike():
    code = "from punie_build.data.minhash import shingles; print(shingles(['a b c d e f'], 5)[0].tolist())"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == str(shingles(["a b c d e f"], 5)[0].tolist())


@pytest.mark.parametrize(
    ("one", "other", "near"),
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
def test_short_texts_are_near_when_their_words_are_equal(one: str, other: str, near: bool):
    assert pairs([one, other]) == ([(0, 1, 1.0)] if near else [])
    assert pairs(["x y z", one, "some other text of six words", other]) == ([(1, 3, 1.0)] if near else [])


def test_nothing_in_nothing_out():
    assert pairs([]) == []
    assert Near().links([]) == []
    assert contained([], ["a"]) == []
    assert contained(["a"], []) == []
    assert groups(0, []) == []


def test_a_long_text_among_short_ones():
    r = Random(5)
    words = [f"w{r.randrange(10**6)}" for _ in range(140_000)]
    long = " ".join(words)
    words[1000] = "changed"
    texts = ["short", long, "x" * 300_000, " ".join(words), "short"]
    assert len(long) > 1_000_000
    (_, _, one), (i, j, exactly) = pairs(texts)
    assert (one, i, j) == (1.0, 1, 3)
    assert exactly == index(texts[1], texts[3])


def test_equal_texts_are_paired_with_the_first_only():
    texts = ["a b c d e f g"] * 5000 + ["a b c d e f g h"]
    assert pairs(texts, threshold=0.7) == [*((0, each, 1.0) for each in range(1, 5000)), (0, 5000, 0.75)]


def test_links_are_few_where_pairs_are_many():
    r = Random(6)
    words = r.choices(WORDS, k=100)
    texts = [" ".join([*words, str(number)]) for number in range(300)]
    near = collected(texts)
    every, enough = near.pairs(texts), near.links(texts)
    assert len(every) == 300 * 299 // 2
    assert len(enough) == 299
    assert set(enough) <= set(every)
    assert groups(300, every) == groups(300, enough) == [0] * 300


def test_texts_can_be_added_after_looking():
    near = collected(["a b c", "d"])
    assert near.pairs(["a b c", "d"]) == []
    near.add("a b c")
    assert near.pairs(iter(["a b c", "d", "a b c"])) == [(0, 2, 1.0)]


def test_other_texts_the_second_time_are_refused():
    with pytest.raises(ValueError, match="2 were added, 1 came again - give the same"):
        collected(["a", "b"]).pairs(["a"])


@pytest.mark.parametrize(("threshold", "shingle", "said"), [(0, 5, "Jaccard"), (1.1, 5, "Jaccard"), (0.5, 0, "words")])
def test_what_makes_no_sense_is_refused(threshold: float, shingle: int, said: str):
    with pytest.raises(ValueError, match=said):
        Near(threshold, shingle)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_groups_are_what_is_connected_whatever_the_order(given: tuple[int, list[tuple[int, int]]]):
    count, edges = given
    reached = [{each} for each in range(count)]
    for _ in range(count):
        for i, j in edges:
            reached[i] |= reached[j]
            reached[j] |= reached[i]
    expected = [min(each) for each in reached]
    links = [(i, j, 1.0) for i, j in edges]
    assert groups(count, links) == groups(count, links[::-1]) == expected


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
def test_contained_shows_what_is_shared(text: str, n: int, expected: tuple[int, str] | None):
    found = contained(iter(["something else", text, "again nothing"]), ["two words", SECRET, SECRET], n)
    assert found == ([Match(1, *expected)] if expected else [])


@examples(50)
@given(small, small, st.integers(1, 4))
def test_contained_is_what_brute_force_says(texts: list[str], against: list[str], n: int):
    def grams(text: str) -> list[str]:
        words = text.split()
        return [" ".join(words[at : at + n]) for at in range(max(len(words) - n + 1, 1))]

    expected = []
    for number, text in enumerate(texts):
        places = ((other, gram) for gram in grams(text) for other, held in enumerate(against) if gram in grams(held))
        if first := next(places, None):
            expected.append(Match(number, *first))
    assert contained(texts, against, n) == expected


def test_contained_over_blocks():
    r = Random(7)
    texts = [" ".join(r.choices(WORDS, k=100)) for _ in range(1000)]
    texts[777] += f" {SECRET}"
    assert [(each.text, each.against) for each in contained(texts, [SECRET])] == [(777, 0)]
