"""Samples of rows on pages."""

from __future__ import annotations

import msgspec
import pytest

from punie_build.reports import samples
from punie_build.reports.samples import sample_dropped

TOKEN = "ghp_4fBq93kLmZx81TyWv02HnRcDs75UjAePoG6I"
MAIL = "ann@company.org"


def dropped(reason: str) -> bytes:
    function = {"name": "f", "arguments": msgspec.json.encode({"k": f'"{TOKEN}"', "m": MAIL}).decode()}
    answer = {"role": "assistant", "content": f"{TOKEN}, {MAIL}", "tool_calls": [{"id": "1", "function": function}]}
    row = {"messages": [{"role": "user", "content": TOKEN}, answer]}
    return msgspec.json.encode({"reason": reason, "split": "train", "example": row}) + b"\n"


@pytest.mark.parametrize(("reason", "shows_mail"), [("secrets", False), ("secrets 2", False), ("language", True)])
def test_samples_of_dropped_rows_have_no_secrets(tmp_path, reason: str, shows_mail: bool):
    (tmp_path / "dropped.jsonl").write_bytes(dropped(reason))
    [sample] = sample_dropped(tmp_path)[reason]
    assert TOKEN not in str(sample)
    assert str(sample).count("[token]") == 3
    assert (MAIL in str(sample)) is shows_mail


def test_lines_that_cannot_be_read_have_no_secrets_in_samples(tmp_path):
    row = {"reason": "unreadable", "split": "train", "line": f"not JSON {TOKEN}", "why": f"not JSON: {TOKEN}"}
    (tmp_path / "dropped.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    [sample] = sample_dropped(tmp_path)["unreadable"]
    assert sample.turns == (("not JSON: [token]", "not JSON [token]"),)


def test_languages_are_counted_at_even_distances_and_code_and_short_texts_have_none(tmp_path):
    texts = {
        "en": "Please explain to me how the weather will be tomorrow in the mountains.",
        "de": "Bitte erkläre mir, wie das Wetter morgen in den Bergen sein wird.",
        "": "```python\nprint('hello world')\n```",
    }
    rows = [{"messages": [{"role": "user", "content": text}]} for text in (*texts.values(), "Yes")]
    (tmp_path / "train.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows * 4))
    found = samples.languages(tmp_path, 16)
    assert (found.counts, found.undecided, found.rows, found.total) == ({"en": 4, "de": 4}, 8, 16, 16)
    assert samples.languages(tmp_path, 16, most=4).counts == {"en": 4}


def test_a_folder_without_training_rows_has_no_languages(tmp_path):
    assert samples.languages(tmp_path, 0).rows == 0
