from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine.card_notes import BEGIN, DRAWN, END, carry, extract, framed, read, write

CARD = f"---\ntags: [mlx]\n---\n{DRAWN}\n# Model\n"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("", ""),
        (CARD, ""),
        (f"{CARD}{BEGIN}\nmine\n{END}\n", "mine"),
        (f"{CARD}{BEGIN}\n{END}\n", ""),
        (f"{CARD}{BEGIN}\nmine, without an end", "mine, without an end"),
        (f"{CARD}{END}\n{BEGIN}\nmine", "mine"),
        ("# By hand\n", "# By hand"),
        ("---\ntags: [mlx]\n---\n# By hand\n", "# By hand"),
    ],
)
def test_notes_are_the_text_between_the_two_marks_or_a_card_written_by_hand(text, notes):
    assert extract(text) == notes


@given(st.text().map(str.strip).filter(lambda text: BEGIN not in text and END not in text))
def test_framed_notes_are_extracted_unchanged(notes):
    assert extract(CARD + framed(notes)) == notes


def test_only_the_targets_with_a_card_have_notes(tmp_path):
    (tmp_path / "README.md").write_text("by hand")
    assert read("adapters/a", tmp_path) == "by hand"
    assert read("data/a", tmp_path) == ""
    assert read("adapters/a", tmp_path / "absent") == ""


def test_empty_notes_write_no_card(tmp_path):
    write("", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    write("mine", tmp_path / "a")
    assert read("models/a", tmp_path / "a") == "mine"


def test_notes_are_carried_into_the_new_folder_and_replace_its_card(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    write("mine", old)
    write("of another build", new)
    carry("adapters/a", old, new)
    assert read("adapters/a", new) == "mine"
    carry("adapters/a", tmp_path / "absent", new)
    assert not (new / "README.md").exists()


def test_the_readme_of_a_target_without_a_card_is_not_carried(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    write("mine", old)
    write("data", new)
    carry("data/a", old, new)
    assert "data" in (new / "README.md").read_text()
