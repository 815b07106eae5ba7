from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import Example, Message
from punie_build.data.split import Split, SplitOverlap, assign, find_overlaps


def chat(question: str, answer: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)))


WORDS = "the quick brown fox jumps over a lazy dog while many other animals sit and watch what it does next".split()


def long(seed: int, changed: int = 0) -> Example:
    """A conversation of 60 words; `changed` words of it are others."""
    chance = random.Random(seed)
    words = [f"{chance.choice(WORDS)}{chance.randrange(99)}" for _ in range(60)]
    for place in range(changed):
        words[place * 17 % 60] = f"other{place}"
    return chat(" ".join(words[:30]), " ".join(words[30:]))


examples = st.lists(st.builds(chat, st.text("ab1 ", max_size=4), st.text("xy", max_size=2)), max_size=40)


@given(examples, examples)
def test_adding_examples_moves_none_of_those_that_were_there(old: list[Example], new: list[Example]):
    split = Split(valid=0.2, test=0.1, group_by=("prompt",))
    assert assign(lambda: old + new, split)[: len(old)] == assign(lambda: old, split)


@pytest.mark.slow
@given(examples)
def test_a_question_is_on_one_side_only_and_nothing_leaks(given: list[Example]):
    split = Split(valid=0.4, test=0.2)
    found = assign(lambda: given, split)
    by_question: dict[str, set[str]] = {}
    for example, side in zip(given, found, strict=True):
        by_question.setdefault(example.group_key(), set()).add(side)
    assert all(len(some) == 1 for some in by_question.values())
    order = sorted(zip(found, given, strict=True), key=lambda pair: pair[0])
    assert find_overlaps(lambda: order) == []


def test_the_shares_are_what_was_asked():
    words = [f"question {word} {other}" for word in map(chr, range(97, 160)) for other in map(chr, range(200, 260))]
    found = assign(lambda: map(chat, words), Split(valid=0.2, test=0.1))
    assert found.count("valid") / len(words) == pytest.approx(0.2, abs=0.025)
    assert found.count("test") / len(words) == pytest.approx(0.1, abs=0.02)


def test_templates_and_near_duplicates_stay_together():
    templates = [chat(f"add {n} and {n + 1}", str(n)) for n in range(200)]
    assert len(set(assign(lambda: templates, Split(valid=0.5)))) == 1
    near = [long(seed, changed) for seed in range(30) for changed in range(2)]
    found = assign(lambda: near, Split(valid=0.5))
    assert set(found) == {"train", "valid"}
    assert found[::2] == found[1::2]
    apart = assign(lambda: near, Split(valid=0.5, group_by=("prompt",)))
    assert apart[::2] != apart[1::2]


def test_leaks_are_told_by_kind_and_line():
    train = [chat("add 1 and 2", "3"), chat("same", "same"), long(1), chat("one prompt", "first")]
    valid = [
        chat("add 7 and 2", "9"),
        chat("Same", "same"),
        long(1, 1),
        chat("one prompt", "second"),
        chat("new", "new"),
    ]
    rows = [("train", each) for each in train] + [("valid", each) for each in valid]
    found = find_overlaps(lambda: rows)
    assert [(leak.how, leak.split, leak.row, leak.train) for leak in found] == [
        ("template", "valid", 1, 1),
        ("same", "valid", 2, 2),
        ("near", "valid", 3, 3),
        ("prompt", "valid", 4, 4),
    ]
    assert 0.8 <= found[2].index < 1
    assert isinstance(found[0], SplitOverlap)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Split(valid=0.6, test=0.4)
