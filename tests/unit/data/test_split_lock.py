"""What was given a side keeps it, whatever is added."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from punie_build.artifacts.graph import tasks
from punie_build.artifacts.steps import steps

from punie_build.data import split_lock
from punie_build.data.example import Example, Message
from punie_build.data.split import AMBIGUOUS, Split, assign, assign_locked, find_overlaps
from punie_build.data.stats import read_stats
from punie_build.engine import build, state
from punie_build.errors import DataError
from punie_build.recipes.loader import load
from tests.support.profiles import examples

SPLIT = Split(valid=0.3, test=0.1)


def chat(question: str, answer: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)))


def words(seed: int, count: int = 40) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghij", k=7)) for _ in range(count)]


pieces = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def joined(pairs: list[tuple[int, int]]) -> list[Example]:
    """Conversations that each say two of seven long texts: a row of (1, 2) is near to one of (1, 1) and one of (2, 2)."""
    return [
        chat(
            f"q{chr(97 + a)} {chr(97 + b)} {' '.join(words(a, 90 if a == b else 60))}",
            " ".join(words(b, 30 if a == b else 12)),
        )
        for a, b in pairs
    ]


@pytest.mark.slow
@examples(40)
@given(pieces, pieces)
def test_nothing_moves_nothing_leaks_and_what_was_given_is_given_again(old, new):
    first, held = assign_locked(lambda: joined(old), SPLIT, {})
    assert AMBIGUOUS not in first
    both = joined(old) + joined(new)
    found, grown = assign_locked(lambda: both, SPLIT, held)
    assert all(now in (before, AMBIGUOUS) for before, now in zip(first, found[: len(old)], strict=True))
    assert all(found[index] == first[index] or first[index] == "train" for index in range(len(old)))
    left = sorted((side, number) for number, side in enumerate(found) if side != AMBIGUOUS)
    assert find_overlaps(lambda: ((side, both[number]) for side, number in left)) == []
    assert assign_locked(lambda: both, SPLIT, grown) == (found, grown)


def test_a_row_that_joins_two_sides_is_between():
    a, b = words(1, 40), words(2, 40)
    one, two = chat(" ".join(a)), chat(" ".join(b))
    seed = next(
        seed for seed in range(99) if assign(lambda: [one, two], Split(valid=0.5, seed=seed)) == ["train", "valid"]
    )
    split = Split(valid=0.5, seed=seed)
    _, held = assign_locked(lambda: [one, two], split, {})
    near_one, near_two = chat(" ".join([*a[:38], "x"])), chat(" ".join([*b[:38], "x"]))
    assert assign_locked(lambda: [one, two, near_one, near_two], split, held)[0] == ["train", "valid", "train", "valid"]
    # a group of rows that is near to both: the question of one, the numbers aside, and the text of the other
    bridge = [chat("same question", " ".join(a)), chat("same question", " ".join(b))]
    old = [chat("one", " ".join(a)), chat("two", " ".join(b))]
    split = next(
        split
        for split in (Split(valid=0.5, seed=seed) for seed in range(99))
        if assign(lambda: old, split) == ["train", "valid"]
    )
    _, held = assign_locked(lambda: old, split, {})
    assert assign_locked(lambda: old + bridge, split, held)[0] == ["train", "valid", AMBIGUOUS, AMBIGUOUS]
    assert AMBIGUOUS not in assign(lambda: old + bridge, split)


def test_it_is_read_as_it_was_written_and_for_other_shares_not_at_all(tmp_path):
    path = tmp_path / "x.splits.lock"
    assert split_lock.read(path, SPLIT) == {}
    split_lock.write(path, SPLIT, {"bb": "valid", "aa": "train"})
    assert path.read_text().splitlines()[1:] == ["aa train", "bb valid"]
    assert split_lock.read(path, SPLIT) == {"aa": "train", "bb": "valid"}
    assert split_lock.read(path, Split(valid=0.2)) == {}


def test_lines_that_say_nothing_are_named(tmp_path):
    path = tmp_path / "x.splits.lock"
    split_lock.write(path, SPLIT, {"aa": "train"})
    path.write_text(path.read_text() + "<<<<<<< HEAD\nbb nowhere\n")
    with pytest.raises(DataError, match=r"x\.splits\.lock:3: .* - restore the file from git(.|\n)*lock:4: "):
        split_lock.read(path, SPLIT)
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="empty or not UTF-8"):
        split_lock.read(path, SPLIT)


RECIPE = '[dataset.d]\nsource = { type = "local", path = "raw" }\nsplit = { valid = 0.3 }\n'


def raw(root: Path, questions: list[str]) -> None:
    (root / "raw").mkdir(exist_ok=True)
    rows = [[{"role": "user", "content": q}, {"role": "assistant", "content": "a"}] for q in questions]
    (root / "raw" / "rows.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))


def test_a_build_keeps_it_beside_the_target_and_is_current_afterwards(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.toml").write_text(RECIPE)
    letters = [f"what about {chr(97 + n)}{chr(97 + m)}?" for n in range(8) for m in range(8)]
    raw(tmp_path, letters[:40])
    recipe = load(tmp_path)
    (task,) = tasks(recipe)

    def made() -> build.Outcome:
        return build.build(tmp_path, task, steps(recipe)["dataset"])

    place = tmp_path / "data" / "d.splits.lock"
    assert made().how == "ran"
    assert state.state(tmp_path, task) == "current"
    assert made().how == "current"
    before = place.read_text()
    assert len(before.splitlines()) == 41
    raw(tmp_path, letters)
    assert made().how == "ran"
    assert set(before.splitlines()) < set(place.read_text().splitlines())
    # an edited line is a wish: the group moves, and stays there
    group = next(line for line in place.read_text().splitlines() if line.endswith(" train"))
    valid = read_stats(tmp_path / "data/d").splits["valid"].kept
    place.write_text(place.read_text().replace(group, group.replace("train", "valid")))
    assert state.state(tmp_path, task) == "stale"
    assert made().how == "ran"
    assert read_stats(tmp_path / "data/d").splits["valid"].kept == valid + 1
    assert state.state(tmp_path, task) == "current"


def test_a_split_may_do_without(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.toml").write_text(RECIPE.replace("0.3 }", "0.3, lock = false }"))
    raw(tmp_path, [f"q{chr(97 + n)}" for n in range(26)])
    recipe = load(tmp_path)
    (task,) = tasks(recipe)
    assert build.build(tmp_path, task, steps(recipe)["dataset"]).how == "ran"
    assert not (tmp_path / "data" / "d.splits.lock").exists()
    assert not (tmp_path / "data" / "d" / "splits.lock").exists()
