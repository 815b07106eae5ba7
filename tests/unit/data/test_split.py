from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import Example, Message
from punie_build.data.split import AMBIGUOUS, Split, SplitOverlap, assign, assign_locked, find_overlaps


def chat(question: str, answer: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)))


WORDS = "the quick brown fox jumps over a lazy dog while many other animals sit and watch what it does next".split()


def long(seed: int, changed: int = 0) -> Example:
    """Return a conversation of 60 words, of which `changed` are replaced."""
    rng = random.Random(seed)
    words = [f"{rng.choice(WORDS)}{rng.randrange(99)}" for _ in range(60)]
    for index in range(changed):
        words[index * 17 % 60] = f"other{index}"
    return chat(" ".join(words[:30]), " ".join(words[30:]))


words = [chat(f"word {chr(c)}") for c in range(0x4E00, 0x4E30)]
ANCHORS = [
    next(
        row
        for row, split in zip(
            words, assign(lambda: words, Split(valid=0.2, test=0.1, group_by=("prompt",))), strict=True
        )
        if split == name
    )
    for name in ("train", "valid", "test")
]
examples = st.lists(st.builds(chat, st.text("ab1 ", max_size=4), st.text("xy", max_size=2)), max_size=40)


@given(examples, examples)
def test_adding_examples_moves_no_other_example(old: list[Example], new: list[Example]):
    split = Split(valid=0.2, test=0.1, group_by=("prompt",))
    old = [*old, *ANCHORS]
    assert assign(lambda: old + new, split)[: len(old)] == assign(lambda: old, split)


@pytest.mark.slow
@given(examples)
def test_a_question_is_in_one_split_and_splits_do_not_overlap(examples: list[Example]):
    splits = assign(lambda: examples, Split(valid=0.4, test=0.2))
    by_question: dict[str, set[str]] = {}
    for example, split in zip(examples, splits, strict=True):
        by_question.setdefault(example.group_key(), set()).add(split)
    assert all(len(names) == 1 for names in by_question.values())
    ordered = sorted(zip(splits, examples, strict=True), key=lambda pair: pair[0])
    assert find_overlaps(lambda: ordered) == []


def test_the_shares_are_those_of_the_spec():
    words = [f"question {word} {other}" for word in map(chr, range(97, 160)) for other in map(chr, range(200, 260))]
    splits = assign(lambda: map(chat, words), Split(valid=0.2, test=0.1))
    assert splits.count("valid") / len(words) == pytest.approx(0.2, abs=0.025)
    assert splits.count("test") / len(words) == pytest.approx(0.1, abs=0.02)


def test_templates_and_near_duplicates_stay_together():
    templates = [chat(f"add {n} and {n + 1}", str(n)) for n in range(200)]
    assert len(set(assign(lambda: templates, Split(valid=0.5)))) == 1
    near = [long(seed, changed) for seed in range(30) for changed in range(2)]
    splits = assign(lambda: near, Split(valid=0.5))
    assert set(splits) == {"train", "valid"}
    assert splits[::2] == splits[1::2]
    by_prompt = assign(lambda: near, Split(valid=0.5, group_by=("prompt",)))
    assert by_prompt[::2] != by_prompt[1::2]


def test_overlaps_have_their_kind_and_line_numbers():
    train = [chat("add 1 and 2", "3"), chat("same", "same"), long(1), chat("one prompt", "first")]
    valid = [
        chat("add 7 and 2", "9"),
        chat("Same", "same"),
        long(1, 1),
        chat("one prompt", "second"),
        chat("new", "new"),
    ]
    rows = [("train", example) for example in train] + [("valid", example) for example in valid]
    overlaps = find_overlaps(lambda: rows)
    assert [(overlap.how, overlap.split, overlap.row, overlap.train) for overlap in overlaps] == [
        ("template", "valid", 1, 1),
        ("same", "valid", 2, 2),
        ("near", "valid", 3, 3),
        ("prompt", "valid", 4, 4),
    ]
    assert 0.8 <= overlaps[2].index < 1
    assert isinstance(overlaps[0], SplitOverlap)


def test_shares_that_leave_nothing_to_train_on_are_an_error():
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Split(valid=0.6, test=0.4)


def test_without_groups_rows_of_one_question_have_their_own_splits():
    rows = [chat(f"add {n} and {n + 1}", f"answer {n}") for n in range(200)]
    splits = assign(lambda: rows, Split(valid=0.2, test=0.1, group_by=()))
    assert splits.count("valid") == pytest.approx(40, abs=20)
    assert splits.count("test") == pytest.approx(20, abs=15)
    assert len(set(assign(lambda: [rows[0]] * 5, Split(valid=0.2, test=0.1, group_by=())))) == 1


@pytest.mark.parametrize("count", range(1, 6))
def test_a_small_set_gets_a_group_in_each_split_if_it_has_so_many(count):
    rows = [chat(name) for name in WORDS[:count]]
    splits = assign(lambda: rows, Split(valid=0.1, test=0.1))
    assert len(set(splits)) == min(count, 3)
    assert "train" in splits
    assert count == 1 or "valid" in splits


def test_examples_with_a_split_keep_it_and_draw_their_group_along():
    rows = [chat("amber", "one"), chat("amber", "two"), chat("birch"), chat("cedar", "x"), chat("cedar", "y")]
    splits, groups = assign_locked(lambda: rows, Split(valid=0.0), {}, ["test", None, "valid", "train", "test"])
    assert splits == ["test", "test", "valid", AMBIGUOUS, "test"]
    assert set(groups.values()) == {"test"}
