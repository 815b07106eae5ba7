"""Samples of rows on pages."""

from __future__ import annotations

import msgspec
import pytest

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
