from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from punie_build.errors import UseError
from punie_build.storage import git_refs, locks, paths, store
from punie_build.storage.locks import Lock
from tests.support.stored_targets import (
    FOLDERS,
    age,
    empty_folder,
    put,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text(f"{paths.STATE}/\nbuilt/\nout/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "empty")
    return root


def git(root: Path, *arguments: str) -> str:
    name = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *name, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path, name: str, salt: object, folder: str = "") -> Lock:
    """Commit the lock of a new target to the branch that is checked out."""
    lock = put(root, {"a": f"bytes of {name}"}, salt)
    path = root / folder / paths.lock(f"adapters/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    locks.write(path, lock)
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", name)
    return lock


def test_the_files_of_locks_on_branches_tags_and_the_stash_are_not_removed(repository):
    expected = {}
    for branch in ("one", "two"):
        git(repository, "checkout", "-q", "-b", branch, "main")
        expected[branch] = commit(repository, branch, branch)
    git(repository, "checkout", "-q", "--detach", "main")
    expected["tag"] = commit(repository, "tag", "dänisch 丹")
    git(repository, "tag", "-a", "v1", "-m", "tagged")
    git(repository, "update-ref", "refs/remotes/origin/theirs", git(repository, "rev-parse", "one").strip())
    git(repository, "branch", "-q", "-D", "one")
    git(repository, "checkout", "-q", "main")
    expected["stash"] = put(repository, {"a": "stashed"}, "stash")
    (repository / "reports").mkdir()
    locks.write(repository / "reports/x.lock.json", expected["stash"])
    git(repository, "add", "--all")
    git(repository, "stash", "-q")
    assert not list(locks.present(repository, FOLDERS))
    unnamed = put(repository, {"a": "unnamed"}, "unnamed")
    age(repository, 1000)
    assert sorted(lock.key for lock in git_refs.locks(repository, FOLDERS)) == sorted(
        lock.key for lock in expected.values()
    )
    assert store.gc(repository, git_refs.locks(repository, FOLDERS), days=0).removed_blobs == 1
    for lock in expected.values():
        assert store.restore(repository, lock.key, empty_folder(repository)) == lock
    assert store.find(repository, unnamed.key) is None


def test_a_project_in_a_folder_of_a_repository_has_only_its_own_locks(repository):
    folder = repository / "projects" / "small"
    folder.mkdir(parents=True)
    theirs = commit(repository, "x", 1)
    ours = commit(repository, "y", 2, "projects/small")
    assert [lock.key for lock in git_refs.locks(folder, FOLDERS)] == [ours.key]
    assert [lock.key for lock in git_refs.locks(repository, FOLDERS)] == [theirs.key]


def test_tags_of_other_objects_and_damaged_locks_are_skipped(repository):
    lock = commit(repository, "x", 1)
    (repository / "adapters/y.lock.json").write_bytes(b"\xff\xfe not a lock")
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "-m", "torn")
    git(repository, "tag", "a-blob", git(repository, "rev-parse", "HEAD:.gitignore").strip())
    git(repository, "tag", "-a", "-m", "a tree", "a-tree", git(repository, "rev-parse", "HEAD^{tree}").strip())
    assert list(git_refs.locks(repository, FOLDERS)) == [lock]


def test_a_folder_outside_a_repository_has_no_locks_on_branches(root):
    assert list(git_refs.locks(root, FOLDERS)) == []


def test_a_collection_fails_if_git_cannot_list_the_locks_of_its_branches(repository, monkeypatch):
    lock = commit(repository, "x", 1)
    age(repository, 1000)
    head = (repository / ".git/HEAD").read_text()
    (repository / ".git/HEAD").write_text("torn")
    with pytest.raises(UseError, match=r"^git for-each-ref: .* - repair the repository first: "):
        store.gc(repository, git_refs.locks(repository, FOLDERS), days=0)
    (repository / ".git/HEAD").write_text(head)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UseError, match=r"^git for-each-ref: .* - repair the repository first: "):
        store.gc(repository, git_refs.locks(repository, FOLDERS), days=0)
    assert store.find(repository, lock.key) == lock
