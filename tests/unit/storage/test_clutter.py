"""The walk over a folder: files that are data, links that are followed, and names that are neither file nor folder."""

from __future__ import annotations

import os

from punie_build.storage import clutter, digests


def test_links_are_followed_but_not_into_folders_that_they_are_in(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.jsonl").touch()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").touch()
    (folder / "up").symlink_to(folder)
    (folder / "linked").symlink_to(tmp_path / "other")
    assert sorted(name for name, _ in clutter.walk(folder)) == ["a.jsonl", "linked/b.jsonl"]


def test_names_that_are_neither_file_nor_folder_are_listed(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "nowhere.jsonl").symlink_to(tmp_path / "absent")
    (tmp_path / "itself.jsonl").symlink_to(tmp_path / "itself.jsonl")
    others = []
    assert list(clutter.walk(tmp_path, others)) == []
    assert sorted(others) == ["itself.jsonl", "nowhere.jsonl", "pipe.jsonl"]
    assert list(clutter.walk(tmp_path)) == []


def test_bytecode_that_an_import_writes_is_clutter(tmp_path):
    """A base may hold Python files. Importing one must not look like a change of its weights."""
    (tmp_path / "config.json").write_text("{}")
    before = digests.stamps(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "corpus.cpython-311.pyc").touch()
    assert digests.stamps(tmp_path) == before
    assert [name for name, _ in clutter.walk(tmp_path)] == ["config.json"]
