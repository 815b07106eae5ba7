from __future__ import annotations

import pytest

from punie_build.storage import paths


def test_files_of_an_artifact_are_named_by_its_target():
    assert paths.lock("data/clean") == "data/clean.lock.json"
    assert paths.splits_lock("data/clean") == "data/clean.splits.lock"
    assert paths.page("adapter", "v1") == "reports/adapter-v1.html"
    assert paths.markdown_page("adapter", "v1") == "reports/adapter-v1.md"


def test_only_adapters_and_models_have_a_card_that_enters_no_digest():
    assert paths.views("adapters/v1") == paths.views("models/v1") == ("README.md",)
    assert paths.views("data/clean") == ()


def test_everything_that_may_be_deleted_is_below_the_state_folder():
    folders = [
        paths.build_lock("data/clean"),
        paths.forgotten("data/clean"),
        paths.staging("data/clean"),
        paths.logs("data/clean"),
        paths.upload_folder("adapters/v1"),
        paths.checkpoints("key"),
        paths.responses("key"),
        paths.measurement("key"),
        paths.converted("key", "1"),
        paths.tracker_run("v1"),
    ]
    assert all(folder.startswith(".punie/") for folder in folders)
    assert len(set(folders)) == len(folders)


def test_the_embedded_base_is_a_model_folder_and_the_documents_are_there():
    assert (paths.nano() / "config.json").exists()
    assert (paths.documents() / "recipes.md").exists()


@pytest.mark.parametrize(
    ("path", "targets", "expected"),
    [
        ("data/a", {"data/a"}, "data/a"),
        ("data/a/train.jsonl", {"data/a"}, "data/a"),
        ("./data//a/b/c", {"data/a"}, "data/a"),
        ("data/ab/c", {"data/a"}, None),
        ("/data/a/c", {"data/a"}, None),
        ("data/a", set(), None),
    ],
)
def test_the_holder_of_a_path_is_the_target_that_it_lies_in(path, targets, expected):
    assert paths.holder(path, targets) == expected


def test_the_cache_of_a_user_is_in_the_folder_that_the_system_names(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.user_cache() == tmp_path / "punie-build"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert paths.user_cache() == tmp_path / "home" / ".cache" / "punie-build"
