from __future__ import annotations

import time
from pathlib import Path

import pytest

from punie_build.runtime import file_changes
from punie_build.storage import paths

WAYS = [
    file_changes.compared,
    pytest.param(
        file_changes.notified,
        marks=pytest.mark.skipif(not file_changes.has_notifications(), reason="watchfiles is not installed"),
    ),
]


@pytest.mark.parametrize("path", ["recipes/a.toml", "suites/a.toml", "raw/may/x.jsonl", "dodo.py", "data/hand.jsonl"])
def test_what_people_write_is_watched(tmp_path, path):
    assert file_changes.is_written(tmp_path, path)


@pytest.mark.parametrize(
    "path",
    [
        ".punie/events.jsonl", ".git/index", "recipes/.a.toml.swp", "reports/index.html", "__pycache__/dodo.pyc",
        "data/a.lock.json", "data/a.splits.lock", "data/a", "data/a/train.jsonl", "data/a/deep/x",
    ],
)  # fmt: skip
def test_what_a_build_writes_is_not_watched(tmp_path, path):
    (tmp_path / "data").mkdir()
    (tmp_path / paths.lock("data/a")).touch()
    assert not file_changes.is_written(tmp_path, path)


@pytest.mark.parametrize("way", WAYS)
def test_files_that_change_appear_and_vanish_are_reported(tmp_path: Path, way):
    for name in ("edited", "removed", "same"):
        (tmp_path / name).write_text("a")
    found = way(tmp_path, lambda path: not path.startswith("log"))
    assert next(found) == []
    (tmp_path / "log").write_text("does not matter")
    (tmp_path / "edited").write_text("ab")
    (tmp_path / "removed").unlink()
    (tmp_path / "new").write_text("a")
    names: set[str] = set()
    deadline = time.monotonic() + 10
    while len(names) < 3 and time.monotonic() < deadline:
        names |= {*next(found)}
    found.close()
    assert names == {"edited", "removed", "new"}
