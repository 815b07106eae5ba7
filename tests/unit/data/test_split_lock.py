"""Assigned groups keep their split when examples are added."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data import split_lock
from punie_build.data.example import Example, Message
from punie_build.data.split import AMBIGUOUS, Split, assign, assign_locked, find_overlaps
from punie_build.data.stats import read_stats
from punie_build.engine import build, state
from punie_build.errors import DataError
from punie_build.project import Project
from tests.support.profiles import examples

SPLIT = Split(valid=0.3, test=0.1)


def chat(question: str, answer: str = "a") -> Example:
    return Example((Message("user", question), Message("assistant", answer)))


def words(seed: int, count: int = 40) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghij", k=7)) for _ in range(count)]


index_pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def conversations(pairs: list[tuple[int, int]]) -> list[Example]:
    """Return conversations of two out of seven long texts: (1, 2) is a near duplicate of (1, 1) and of (2, 2)."""
    return [
        chat(
            f"q{chr(97 + a)} {chr(97 + b)} {' '.join(words(a, 90 if a == b else 60))}",
            " ".join(words(b, 30 if a == b else 12)),
        )
        for a, b in pairs
    ]


@pytest.mark.slow
@examples(40)
@given(index_pairs, index_pairs)
def test_no_example_moves_and_no_splits_overlap(old, new):
    first, locked = assign_locked(lambda: conversations(old), SPLIT, {})
    assert AMBIGUOUS not in first
    both = conversations(old) + conversations(new)
    second, extended = assign_locked(lambda: both, SPLIT, locked)
    assert all(after in (before, AMBIGUOUS) for before, after in zip(first, second[: len(old)], strict=True))
    assert all(second[index] == first[index] or first[index] == "train" for index in range(len(old)))
    rows = sorted((split, number) for number, split in enumerate(second) if split != AMBIGUOUS)
    assert find_overlaps(lambda: ((split, both[number]) for split, number in rows)) == []
    assert assign_locked(lambda: both, SPLIT, extended) == (second, extended)


def test_a_row_close_to_groups_of_two_splits_is_ambiguous():
    a, b = words(1, 40), words(2, 40)
    left, right = chat(" ".join(a)), chat(" ".join(b))
    seed = next(
        seed for seed in range(99) if assign(lambda: [left, right], Split(valid=0.5, seed=seed)) == ["train", "valid"]
    )
    split = Split(valid=0.5, seed=seed)
    _, locked = assign_locked(lambda: [left, right], split, {})
    near_left, near_right = chat(" ".join([*a[:38], "x"])), chat(" ".join([*b[:38], "x"]))
    assert assign_locked(lambda: [left, right, near_left, near_right], split, locked)[0] == [
        "train",
        "valid",
        "train",
        "valid",
    ]
    # two rows with one question, and with the texts of the two old rows
    bridge = [chat("same question", " ".join(a)), chat("same question", " ".join(b))]
    old = [chat("one", " ".join(a)), chat("two", " ".join(b))]
    split = next(
        split
        for split in (Split(valid=0.5, seed=seed) for seed in range(99))
        if assign(lambda: old, split) == ["train", "valid"]
    )
    _, locked = assign_locked(lambda: old, split, {})
    assert assign_locked(lambda: old + bridge, split, locked)[0] == ["train", "valid", AMBIGUOUS, AMBIGUOUS]
    assert AMBIGUOUS not in assign(lambda: old + bridge, split)


def test_a_file_is_read_as_written_and_ignored_for_other_shares(tmp_path):
    path = tmp_path / "x.splits.lock"
    assert split_lock.read(path, SPLIT) == {}
    split_lock.write(path, SPLIT, {"bb": "valid", "aa": "train"})
    assert path.read_text().splitlines()[1:] == ["aa train", "bb valid"]
    assert split_lock.read(path, SPLIT) == {"aa": "train", "bb": "valid"}
    assert split_lock.read(path, Split(valid=0.2)) == {}


def test_malformed_lines_are_listed(tmp_path):
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


def test_a_build_keeps_the_lock_beside_the_target_and_is_current(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.toml").write_text(RECIPE)
    questions = [f"what about {chr(97 + n)}{chr(97 + m)}?" for n in range(8) for m in range(8)]
    raw(tmp_path, questions[:40])
    (task,) = Project.load(tmp_path).tasks

    def action() -> str:
        return build.build(tmp_path, task).action

    path = tmp_path / "data" / "d.splits.lock"
    assert action() == "ran"
    assert state.state(tmp_path, task) == "current"
    assert action() == "current"
    before = path.read_text()
    assert len(before.splitlines()) == 41
    raw(tmp_path, questions)
    assert action() == "ran"
    assert set(before.splitlines()) < set(path.read_text().splitlines())
    # a user may edit a line: the group moves, and stays there
    group = next(line for line in path.read_text().splitlines() if line.endswith(" train"))
    valid = read_stats(tmp_path / "data/d").splits["valid"].kept
    path.write_text(path.read_text().replace(group, group.replace("train", "valid")))
    assert state.state(tmp_path, task) == "stale"
    assert action() == "ran"
    assert read_stats(tmp_path / "data/d").splits["valid"].kept == valid + 1
    assert state.state(tmp_path, task) == "current"


def test_a_split_may_have_no_lock(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.toml").write_text(RECIPE.replace("0.3 }", "0.3, lock = false }"))
    raw(tmp_path, [f"q{chr(97 + n)}" for n in range(26)])
    (task,) = Project.load(tmp_path).tasks
    assert build.build(tmp_path, task).action == "ran"
    assert not (tmp_path / "data" / "d.splits.lock").exists()
    assert not (tmp_path / "data" / "d" / "splits.lock").exists()
