from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from punie_build.engine import build
from punie_build.engine.work import StepResult, Work
from punie_build.errors import UseError
from punie_build.storage import digests, git_refs, locks, store
from punie_build.storage import paths as layout
from punie_build.storage.locks import KeyInputs, Lock
from tests.support.text_tasks import text_task, with_step

DAY = 86400
TARGET = "data/s"

FOLDERS = ("adapters", "data", "models", "reports")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def made(root: Path, files: dict[str, str], salt: object = 0) -> Lock:
    """A target of these files in the store, as a build puts it there; its lock."""
    folder = root / "made"
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    facts = KeyInputs(kind="stage", recipe={"salt": salt}, code="c", inputs={}, tools={})
    lock = Lock(key=facts.key, key_inputs=facts, outputs=digests.of_folder(folder), seconds=1.5)
    store.put(root, folder, lock)
    return lock


def out(root: Path, name: str = "out") -> Path:
    """An empty folder to restore into."""
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def action(root: Path, lock: Lock) -> Path:
    return root / layout.STATE / "store" / "actions" / lock.key[:2] / lock.key


def blobs(root: Path, lock: Lock) -> list[Path]:
    return [store.blob(root, digest) for digest in lock.outputs.values()]


def aged(root: Path, days: float, *paths: Path) -> None:
    """Everything in the store, or these files of it, as it is after so many days in which nobody used it."""
    for path in paths or [path for path in (root / layout.STATE / "store").rglob("*") if path.is_file()]:
        os.utime(path, (time.time() - days * DAY,) * 2)


def rot(path: Path) -> None:
    """Other bytes, as many, under the same times."""
    stat = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


# --- put, find, restore


def test_what_was_put_is_found_by_its_key_and_restored_byte_for_byte(root):
    lock = made(root, {"train.jsonl": "one\n", "deep/er/stats.json": "{}", "empty": ""})
    assert store.find(root, lock.key) == lock
    assert store.restore(root, lock.key, out(root)) == lock
    assert digests.of_folder(root / "out") == lock.outputs
    assert store.find(root, "0" * 64) is None
    assert store.restore(root, "0" * 64, out(root)) is None


def test_equal_files_are_kept_once(root):
    one = made(root, {"a": "same", "b": "same"}, 1)
    two = made(root, {"c": "same"}, 2)
    assert len(list((root / layout.STATE / "store" / "blobs").glob("*/*"))) == 1
    for lock in (one, two):
        assert store.restore(root, lock.key, out(root)) == lock


def test_of_two_builds_of_one_key_the_committed_locks_is_restored_else_the_newest(root):
    """A GPU gives other bytes each time; the lock in git says which of them people have agreed on."""
    first = made(root, {"weights": "first"})
    second = made(root, {"weights": "second"})
    assert first.key == second.key
    assert store.restore(root, first.key, out(root), committed=first) == first
    assert (root / "out/weights").read_text() == "first"
    assert store.restore(root, first.key, out(root)) == second
    assert (root / "out/weights").read_text() == "second"
    store.blob(root, first.outputs["weights"]).unlink()
    assert store.restore(root, first.key, out(root), committed=first) == second, "all there is of this key"


def test_a_committed_lock_of_another_key_says_nothing(root):
    old, now = made(root, {"a": "old"}, 1), made(root, {"a": "now"}, 2)
    assert store.find(root, now.key, committed=old) == now
    action(root, now).unlink()
    assert store.find(root, now.key, committed=old) is None


def test_a_committed_lock_is_enough_where_the_record_is_gone_and_restoring_records_it_again(root):
    lock = made(root, {"a": "1"})
    action(root, lock).unlink()
    assert store.find(root, lock.key) is None
    assert store.restore(root, lock.key, out(root), committed=lock) == lock
    assert store.find(root, lock.key) == lock


def test_what_lacks_a_file_is_not_found(root):
    lock = made(root, {"a": "1", "b": "2"})
    store.blob(root, lock.outputs["b"]).unlink()
    assert store.find(root, lock.key) is None
    assert store.restore(root, lock.key, out(root)) is None


def test_two_targets_of_one_key_may_be_put_and_restored_by_many_threads_at_once(root):
    """Two stages may say the same of the same data: `doit -n` makes them at the same time, into one place."""
    for name in range(8):
        (root / f"made{name}").mkdir()
        for file in range(20):
            (root / f"made{name}" / f"{file}").write_text(f"{file}" * 500)
    facts = KeyInputs(kind="stage", recipe={}, code="c", inputs={}, tools={})
    lock = Lock(key=facts.key, key_inputs=facts, outputs=digests.of_folder(root / "made0"), seconds=1.0)
    wrong = []

    def work(name: int) -> None:
        try:
            for turn in range(5):
                store.put(root, root / f"made{name}", lock)
                assert store.restore(root, lock.key, out(root, f"out{name}.{turn}"))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not list(store.verify(root))
    assert len(list((root / layout.STATE / "store").rglob("*.*"))) == 0, "no half-written file is left"


# --- what cannot be believed


def test_a_blob_whose_bytes_are_others_is_not_restored_and_goes(root):
    lock = made(root, {"a": "right", "b": "fine"})
    rot(store.blob(root, lock.outputs["a"]))
    assert store.find(root, lock.key) == lock, "finding does not read"
    assert store.restore(root, lock.key, out(root)) is None
    assert not store.blob(root, lock.outputs["a"]).exists()
    assert store.find(root, lock.key) is None


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a\n/../../x", "..", "x\n", "a\\b"])
def test_a_lock_that_leads_out_of_its_folder_is_none(root, name):
    lock = made(root, {"a": "1"})
    poison = msgspec.json.encode(msgspec.structs.replace(lock, outputs={name: lock.outputs["a"]}))
    assert locks.decode(poison) is None
    action(root, lock).write_bytes(poison)
    assert store.restore(root, lock.key, out(root)) is None
    assert [path.name for path in root.iterdir() if path.name not in ("out", "made", layout.STATE)] == []


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"key": 1}', "[" * 100_000, '{"facts": ' * 50_000, "\udcff", "9" * 5000]
)
def test_what_is_no_lock_is_none_and_not_a_crash(root, text):
    lock = made(root, {"a": "1"})
    action(root, lock).write_bytes(text.encode(errors="surrogateescape"))
    assert store.find(root, lock.key) is None


def test_a_lock_of_another_key_in_a_keys_place_is_not_believed(root):
    one, two = made(root, {"a": "1"}, 1), made(root, {"a": "2"}, 2)
    action(root, one).write_bytes(action(root, two).read_bytes())
    assert store.find(root, one.key) is None
    forged = msgspec.json.encode(msgspec.structs.replace(two, key=one.key))
    action(root, one).write_bytes(forged)
    assert store.find(root, one.key) is None, "its key is not that of its facts"


def test_a_lock_in_which_one_name_is_a_file_and_a_folder_restores_nothing(root):
    lock = made(root, {"a": "1"})
    digest = lock.outputs["a"]
    for names in (("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")):
        locks.write(action(root, lock), msgspec.structs.replace(lock, outputs=dict.fromkeys(names, digest)))
        assert store.restore(root, lock.key, out(root)) is None


def test_a_build_over_a_poisoned_record_runs_its_step(root):
    (root / "data/in").mkdir(parents=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    assert built(root).action == "ran"
    lock = locks.read(root / layout.lock(TARGET))
    text = action(root, lock).read_text()
    action(root, lock).write_text(text.replace('"train.jsonl"', '"../train.jsonl"'))
    (root / layout.lock(TARGET)).unlink()
    assert built(root).action == "ran"
    assert built(root).action == "current"
    assert list(store.verify(root)) == []


# --- verify


def test_verify_finds_what_has_rotted_removes_it_and_says_which_records_lack_it(root):
    lock = made(root, {"a": "right", "b": "fine"})
    assert list(store.verify(root)) == []
    rot(store.blob(root, lock.outputs["a"]))
    digest, key = lock.outputs["a"][:12], lock.key[:12]
    assert list(store.verify(root)) == [
        f"blob {digest}: its bytes are others - removed, it is made or fetched again when needed",
        f"action {key} (stage): 1 of 2 files are missing - it is fetched or made again when needed",
    ]
    assert list(store.verify(root)) == [
        f"action {key} (stage): 1 of 2 files are missing - it is fetched or made again when needed"
    ]
    made(root, {"a": "right", "b": "fine"})
    assert list(store.verify(root)) == []


def test_verify_removes_a_record_that_is_none(root):
    lock = made(root, {"a": "1"})
    action(root, lock).write_text("torn")
    assert list(store.verify(root)) == [f"action {lock.key[:12]}: not the record of its key - removed"]
    assert not action(root, lock).exists()


def test_verify_and_the_collector_leave_what_a_build_is_writing(root):
    """A half-written file has a name of its own; taking it away would fail the build that writes it."""
    lock = made(root, {"a": "1"})
    half = [path.with_name(f"{path.name}.123.456") for path in (action(root, lock), *blobs(root, lock))]
    for path in half:
        path.write_text("ha")
    assert list(store.verify(root)) == []
    store.gc(root, [], days=0)
    assert all(path.exists() for path in half)
    aged(root, 1, *half)
    store.gc(root, [lock], days=0)
    assert not any(path.exists() for path in half), "left by a build that was killed"


# --- the collector


def test_what_a_lock_names_is_never_collected(root):
    lock, other = made(root, {"a": "1", "b": "2"}, 1), made(root, {"a": "3"}, 2)
    aged(root, 1000)
    swept = store.gc(root, [lock], days=0)
    assert (swept.removed, swept.freed, swept.kept, swept.held) == (1, 1, 2, 2)
    assert store.restore(root, lock.key, out(root)) == lock
    assert store.find(root, other.key) is None
    assert not action(root, other).exists()


def test_what_a_committed_lock_names_stays_though_the_newest_build_of_its_key_gave_another(root):
    agreed = made(root, {"weights": "agreed"})
    newest = made(root, {"weights": "newest"})
    aged(root, 1000)
    store.gc(root, [agreed], days=0)
    assert store.restore(root, agreed.key, out(root), committed=agreed) == agreed
    assert store.find(root, newest.key) == newest, "a record that is kept is kept whole"


def test_what_was_used_of_late_is_kept_and_what_was_not_goes(root):
    used, old = made(root, {"a": "used", "both": "both"}, 1), made(root, {"a": "old", "both": "both"}, 2)
    aged(root, 40)
    store.restore(root, used.key, out(root))
    swept = store.gc(root, [], days=30)
    assert swept.removed == 1
    assert store.restore(root, used.key, out(root)) == used
    assert not action(root, old).exists()
    aged(root, 29)
    assert store.gc(root, [], days=30).removed == 0
    aged(root, 31)
    assert store.gc(root, [], days=30) == store.Swept(2, 8, 0, 0)
    assert not blobs(root, used)[0].exists()


def test_a_new_blob_is_not_collected_for_an_hour(root):
    """Between its blobs and its lock a build is short, but there."""
    lock = made(root, {"a": "1"})
    assert store.gc(root, [], days=0).removed == 0
    assert store.find(root, lock.key, committed=lock) == lock
    aged(root, 2 * store.GRACE / DAY, *blobs(root, lock))
    assert store.gc(root, [], days=0).removed == 1


def test_an_old_blob_that_a_build_has_just_put_again_counts_as_new(root):
    lock = made(root, {"a": "1"})
    aged(root, 1000)
    made(root, {"a": "1"})
    action(root, lock).unlink()
    assert store.gc(root, [], days=0).removed == 0
    assert store.find(root, lock.key, committed=lock) == lock


def test_a_dry_run_tells_the_same_and_removes_nothing(root):
    made(root, {"a": "12345"})
    aged(root, 1000)
    before = sorted((root / layout.STATE).rglob("*"))
    told = store.gc(root, [], days=30, dry=True)
    assert sorted((root / layout.STATE).rglob("*")) == before
    assert told == store.gc(root, [], days=30) == store.Swept(1, 5, 0, 0)
    assert not [path for path in (root / layout.STATE / "store").rglob("*") if path.is_file()]


def test_nothing_is_collected_where_there_is_no_store(root):
    assert store.gc(root, [], days=0) == store.Swept(0, 0, 0, 0)
    assert list(store.verify(root)) == []


def test_after_a_collection_a_build_restores_what_a_lock_names_and_makes_what_none_does(root):
    (root / "data/in").mkdir(parents=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    for recipe in (1, 2, 3):
        assert built(root, recipe).action == "ran"
    three = locks.read(root / layout.lock(TARGET))
    aged(root, 1000)
    store.gc(root, [three], days=0)
    shutil.rmtree(root / TARGET)
    assert built(root, 3).action == "restored"
    assert built(root, 1).action == "ran", "nobody named it"
    assert built(root, 3).action == "restored"


def built(root: Path, recipe: object = 0) -> build.Outcome:
    task = text_task("s", inputs=("data/in",), a=recipe)

    def step(work: Work) -> StepResult:
        text = (work.root / "data/in/train.jsonl").read_text()
        (work.out / "train.jsonl").write_text(f"{work.task.recipe['a']} {text}")
        return StepResult("made")

    return build.build(root, with_step(task, step))


# --- branches


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text(f"{layout.STATE}/\nmade/\nout/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "empty")
    return root


def git(root: Path, *arguments: str) -> str:
    name = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *name, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path, name: str, salt: object, place: str = "") -> Lock:
    """A lock of its own on the branch that is checked out."""
    lock = made(root, {"a": f"bytes of {name}"}, salt)
    path = root / place / layout.lock(f"adapters/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    locks.write(path, lock)
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", name)
    return lock


def test_what_another_branch_or_a_tag_or_the_stash_names_is_not_collected(repository):
    kept = {}
    for branch in ("one", "two"):
        git(repository, "checkout", "-q", "-b", branch, "main")
        kept[branch] = commit(repository, branch, branch)
    git(repository, "checkout", "-q", "--detach", "main")
    kept["tag"] = commit(repository, "tag", "dänisch 丹")
    git(repository, "tag", "-a", "v1", "-m", "tagged")
    git(repository, "update-ref", "refs/remotes/origin/theirs", git(repository, "rev-parse", "one").strip())
    git(repository, "branch", "-q", "-D", "one")
    git(repository, "checkout", "-q", "main")
    kept["stash"] = made(repository, {"a": "stashed"}, "stash")
    (repository / "reports").mkdir()
    locks.write(repository / "reports/x.lock.json", kept["stash"])
    git(repository, "add", "--all")
    git(repository, "stash", "-q")
    assert not list(locks.present(repository, FOLDERS))
    lost = made(repository, {"a": "lost"}, "lost")
    aged(repository, 1000)
    assert sorted(lock.key for lock in git_refs.locks(repository, FOLDERS)) == sorted(
        lock.key for lock in kept.values()
    )
    assert store.gc(repository, git_refs.locks(repository, FOLDERS), days=0).removed == 1
    for lock in kept.values():
        assert store.restore(repository, lock.key, out(repository)) == lock
    assert store.find(repository, lost.key) is None


def test_a_project_in_a_folder_of_a_repository_finds_its_own_locks(repository):
    place = repository / "projects" / "small"
    place.mkdir(parents=True)
    theirs = commit(repository, "x", 1)
    ours = commit(repository, "y", 2, "projects/small")
    assert [lock.key for lock in git_refs.locks(place, FOLDERS)] == [ours.key]
    assert [lock.key for lock in git_refs.locks(repository, FOLDERS)] == [theirs.key]


def test_tags_of_what_is_no_commit_and_locks_that_cannot_be_read_are_passed_over(repository):
    lock = commit(repository, "x", 1)
    (repository / "adapters/y.lock.json").write_bytes(b"\xff\xfe not a lock")
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "-m", "torn")
    git(repository, "tag", "a-blob", git(repository, "rev-parse", "HEAD:.gitignore").strip())
    git(repository, "tag", "-a", "-m", "a tree", "a-tree", git(repository, "rev-parse", "HEAD^{tree}").strip())
    assert list(git_refs.locks(repository, FOLDERS)) == [lock]


def test_without_git_there_are_no_branches(root):
    assert list(git_refs.locks(root, FOLDERS)) == []


def test_nothing_is_collected_where_git_cannot_say_what_its_branches_name(repository, monkeypatch):
    lock = commit(repository, "x", 1)
    aged(repository, 1000)
    head = (repository / ".git/HEAD").read_text()
    (repository / ".git/HEAD").write_text("torn")
    with pytest.raises(UseError, match=r"^git for-each-ref: .* - fix that first"):
        store.gc(repository, git_refs.locks(repository, FOLDERS), days=0)
    (repository / ".git/HEAD").write_text(head)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UseError, match=r"^git for-each-ref: .* - fix that first"):
        store.gc(repository, git_refs.locks(repository, FOLDERS), days=0)
    assert store.find(repository, lock.key) == lock


# --- copies


def test_a_copy_and_its_original_do_not_change_each_other(root):
    (root / "a").write_bytes(b"x" * 100_000)
    store.copy(root / "a", root / "b")
    with (root / "b").open("r+b") as file:
        file.write(b"copy")
    assert (root / "a").read_bytes() == b"x" * 100_000
    with (root / "a").open("r+b") as file:
        file.write(b"original")
    assert (root / "b").read_bytes() == b"copy" + b"x" * 99_996
    assert (root / "a").stat().st_nlink == (root / "b").stat().st_nlink == 1


def test_a_copy_replaces_what_was_longer(root):
    (root / "a").write_text("short")
    (root / "b").write_text("much longer")
    store.copy(root / "a", root / "b")
    assert (root / "b").read_text() == "short"


@pytest.fixture
def cloning(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that can clone: btrfs in a file, mounted."""
    image, place = tmp_path / "image", tmp_path / "cloning"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    try:
        for command in (["mkfs.btrfs", "-q", image], ["mount", "-o", "loop", image, place]):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no btrfs can be made and mounted here: {error}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_where_the_file_system_can_clone_three_copies_take_the_room_of_one_and_stay_apart(cloning):
    size = 60 << 20
    folder = cloning / "made"
    folder.mkdir()
    (folder / "weights").write_bytes(os.urandom(size))
    facts = KeyInputs(kind="adapter", recipe={}, code="c", inputs={}, tools={})
    lock = Lock(key=facts.key, key_inputs=facts, outputs=digests.of_folder(folder), seconds=1.0)
    before = taken(cloning)
    assert before >= size
    store.put(cloning, folder, lock)
    assert store.restore(cloning, lock.key, out(cloning)) == lock
    assert taken(cloning) - before < size / 10
    for place, word in ((folder, b"theirs"), (cloning / "out", b"mine")):
        with (place / "weights").open("r+b") as file:
            file.write(word)
    assert list(store.verify(cloning)) == []
    assert (folder / "weights").read_bytes()[:6] == b"theirs"


def taken(place: Path) -> int:
    """Bytes that are taken on a disk, after all is written to it."""
    subprocess.run(["sync", "-f", place], check=True)
    return shutil.disk_usage(place).used
