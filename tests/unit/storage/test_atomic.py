from __future__ import annotations

import os
from pathlib import Path

import pytest

from punie_build.storage import atomic


def folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "text").write_text(text)
    return path


@pytest.mark.parametrize("exchange", [atomic.exchange, lambda first, second: False])
def test_a_finished_folder_replaces_the_target_with_and_without_an_exchange(tmp_path, exchange):
    target = tmp_path / "data" / "s"
    for text in ("one", "two", "three"):
        finished = folder(tmp_path / "staging" / "s", text)
        atomic.replace_folder(finished, target, exchange)
        assert [path.name for path in target.iterdir()] == ["text"]
        assert (target / "text").read_text() == text
        assert list((tmp_path / "staging").iterdir()) == []


def test_an_exchange_swaps_two_folders_or_changes_none(tmp_path):
    first, second = folder(tmp_path / "first", "1"), folder(tmp_path / "second", "2")
    swapped = atomic.exchange(first, second)
    assert ((first / "text").read_text(), (second / "text").read_text()) == (("2", "1") if swapped else ("1", "2"))
    assert not atomic.exchange(first, tmp_path / "absent")
    assert first.exists()


def test_a_file_is_replaced_by_a_rename_in_its_folder(tmp_path):
    for content in (b"one", b"two"):
        atomic.replace_file(tmp_path / "deep" / "file", content)
        assert (tmp_path / "deep" / "file").read_bytes() == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_failed_replacement_leaves_no_temporary_file(tmp_path):
    (tmp_path / "reports/index.html/mine").mkdir(parents=True)
    with pytest.raises(OSError, match=r"Is a directory|exist"):
        atomic.replace_file(tmp_path / "reports/index.html", b"text")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def put(kind: str, path: Path, elsewhere: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            path.write_text("hello")
        case "folder":
            folder(path, "old")
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(folder(elsewhere, "precious"))
        case "link to nowhere":
            path.symlink_to("nowhere")


KINDS = ("file", "folder", "pipe", "link", "link to nowhere", "absent")


@pytest.mark.parametrize("exchange", [atomic.exchange, lambda first, second: False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_target_replaces_and_removal_removes_whatever_is_there_but_not_behind_a_link(tmp_path, kind, exchange):
    target, elsewhere = tmp_path / "data/s", tmp_path / "elsewhere"
    put(kind, target, elsewhere)
    finished = folder(tmp_path / "staging/s", "new")
    atomic.replace_folder(finished, target, exchange)
    assert (target / "text").read_text() == "new"
    assert not target.is_symlink()
    assert list((tmp_path / "staging").iterdir()) == []
    atomic.remove(target)
    if elsewhere.exists():
        (elsewhere / "text").rename(tmp_path / "text")
        elsewhere.rmdir()
    put(kind, target, elsewhere)
    atomic.remove(target)
    assert not os.path.lexists(target)
    assert kind != "link" or (elsewhere / "text").read_text() == "precious"


def test_several_files_get_their_names_together_or_none_does(tmp_path):
    paths = [tmp_path / name for name in ("deep/a", "b", "c", "d", "e")]
    with atomic.new_files(*paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text(temporary.name)
        assert not any(path.exists() for path in paths)
    assert all(path.read_text().startswith(f".{path.name}.") for path in paths)
    before = {path: path.read_bytes() for path in paths}
    with pytest.raises(IsADirectoryError), atomic.new_files(*paths) as temporaries:
        _ = [path.write_text("new") for path in (temporaries[0], tmp_path)]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("count", [1, 10])
def test_a_sync_reports_files_that_are_not_there_unless_it_is_switched_off(tmp_path, monkeypatch, count):
    absent = [tmp_path / f"{number}" for number in range(count)]
    atomic.sync(*absent)
    monkeypatch.delenv("PUNIE_BUILD_SYNC")
    atomic.sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        atomic.sync(*absent)


def test_a_folder_of_another_disk_replaces_the_target_as_well(tmp_path, other_disk):
    finished, target = folder(other_disk / "s", "new"), folder(tmp_path / "data/s", "old")
    (finished / "deep").mkdir()
    (finished / "deep/text").write_text("deep")
    atomic.replace_folder(finished, target)
    assert ((target / "text").read_text(), (target / "deep/text").read_text()) == ("new", "deep")
    assert list(other_disk.iterdir()) == []
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_folder_in_the_place_of_a_file_is_replaced_and_any_other_is_named(tmp_path):
    path = tmp_path / "x.lock.json"
    path.mkdir()
    atomic.replace_file(path, b"lock")
    assert path.read_bytes() == b"lock"
    path.unlink()
    (path / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught:
        atomic.replace_file(path, b"lock")
    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.lock.json"]


def test_a_file_that_cannot_be_synced_is_no_error(monkeypatch):
    monkeypatch.delenv("PUNIE_BUILD_SYNC")
    atomic.sync(os.devnull)


def test_a_link_to_a_folder_in_the_place_of_a_file_is_replaced_and_the_folder_stays(tmp_path):
    (tmp_path / "link").symlink_to(folder(tmp_path / "folder", "mine"))
    atomic.replace_file(tmp_path / "link", b"text")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"text"
    assert (tmp_path / "folder/text").read_text() == "mine"


def test_a_finished_file_gets_its_name(tmp_path):
    (tmp_path / "new").write_text("text")
    atomic.publish_file(tmp_path / "new", tmp_path / "name")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"name": "text"}
