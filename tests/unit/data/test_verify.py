from __future__ import annotations

import json

import pytest

from punie_build.data.verify import data


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"x": 1}', "\xff", "{"])
def test_any_content_of_stats_json_is_a_line_and_no_traceback(tmp_path, text: str):
    (tmp_path / "stats.json").write_text(text)
    assert list(data(tmp_path, None))


def test_row_counts_are_compared_with_the_statistics(tmp_path):
    splits = {"train": {"seen": 4, "kept": 3, "rows": 5}, "valid": {"seen": 1, "kept": 1, "rows": 1}}
    (tmp_path / "stats.json").write_text(json.dumps({"splits": splits, "messages": 9}))
    for name, rows in (("train", 5), ("valid", 1), ("dropped", 1)):
        (tmp_path / f"{name}.jsonl").write_text("{}\n" * rows)
    assert list(data(tmp_path, None)) == []
    (tmp_path / "train.jsonl").write_text("{}\n" * 4)
    (tmp_path / "valid.jsonl").unlink()
    (tmp_path / "dropped.jsonl").write_text("")
    assert list(data(tmp_path, None)) == [
        "train.jsonl: stats.json says 5 rows, the file has 4",
        "valid.jsonl: No such file or directory",
        "dropped.jsonl: stats.json says 1 rows, the file has 0",
    ]
