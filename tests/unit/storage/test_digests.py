from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.storage import digests, paths
from tests.support.file_digests import sha, wait_until_stable

DATABASE = f"{paths.STATE}/digests.db"
WRONG = "f" * 64  # a digest that can only come from the cache


# --- a file that changed is read again


@pytest.fixture(params=["local", "ticks", pytest.param("seconds", marks=pytest.mark.slow)])
def clock(request, tmp_path) -> Iterator[Path]:
    """Return a folder on a file system whose clock is exact, ticks with the kernel, or counts seconds."""
    folder = tmp_path / "clock"
    folder.mkdir()
    image = tmp_path / "image"
    commands = {
        "local": [],
        "ticks": [["mount", "-t", "ramfs", "ramfs", folder]],
        "seconds": [["mkfs.ext2", "-q", "-I", "128", image, "4M"], ["mount", "-o", "loop", image, folder]],
    }[request.param]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no such file system can be mounted here: {error}")
    yield folder
    if commands:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_rewrite_of_the_same_size_is_detected_however_soon_it_follows(clock):
    """Two contents may have one size and one time, if they are written within one tick of the clock."""
    path, rng, n_races, previous = clock / "a", random.Random(1), 0, None
    for round_ in range(1500):
        content = b"%08d" % round_
        with path.open("r+b" if round_ else "wb") as file:
            file.write(content)
        stamp = digests._stamp(path.stat())
        n_races, previous = n_races + (stamp == previous), stamp
        assert digests.of_file(path) == sha(content)
        if round_ % 50 == 0:
            time.sleep(rng.random() * 0.03)
            assert digests.of_file(path) == sha(content)
    wait_until_stable(path)
    assert digests.of_file(path) == digests._memory[digests._stamp(path.stat())], "it is cached at the end"
    assert n_races > 0 or clock.parent.stat().st_dev == clock.stat().st_dev, "there were races"


def test_a_large_file_that_is_rewritten_at_once_is_detected_and_read_once(clock):
    """Reading it twice takes longer than waiting for the clock."""
    path = clock / "large"
    for letter in (b"a", b"b"):
        content = letter * (digests.LARGE_BYTES + 1)
        path.write_bytes(content)
        assert digests.of_file(path) == sha(content)
        assert digests._stamp(path.stat()) in digests._memory


def test_an_edit_whose_time_was_reset_is_detected(clock):
    path = clock / "a"
    path.write_text("before")
    wait_until_stable(path)
    digests.of_file(path)
    old = path.stat()
    assert digests._stamp(old) in digests._memory
    path.write_text("behind")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    new = path.stat()
    assert (new.st_ino, new.st_size, new.st_mtime_ns) == (old.st_ino, old.st_size, old.st_mtime_ns)
    assert digests.of_file(path) == sha(b"behind")


def test_a_file_that_is_renamed_keeps_its_digest(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("111")
    two.write_text("222")
    wait_until_stable(two)
    assert [digests.of_file(one), digests.of_file(two)] == [sha(b"111"), sha(b"222")]
    two.rename(tmp_path / "three")
    one.rename(two)
    assert digests.of_file(two) == sha(b"111")
    assert digests.of_file(tmp_path / "three") == sha(b"222")
    os.replace(tmp_path / "three", two)
    assert digests.of_file(two) == sha(b"222")
    two.unlink()
    two.write_text("333")
    assert digests.of_file(two) == sha(b"333"), "the inode may be the same"


def test_compute_reads_the_file_whatever_the_cache_holds(tmp_path):
    """`store verify` must read the disk."""
    path = tmp_path / "a"
    path.write_text("x")
    wait_until_stable(path)
    digests._memory[digests._stamp(path.stat())] = WRONG
    assert digests.of_file(path) == WRONG
    assert digests.compute(path) == sha(b"x")
    assert digests.of_file(path) == sha(b"x")


def test_a_file_that_changes_while_it_is_read_is_not_cached(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(64 << 20))
    wait_until_stable(path)
    stop = threading.Event()

    def overwrite() -> None:
        with path.open("r+b") as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(8))
                file.flush()

    writer = threading.Thread(target=overwrite)
    writer.start()
    digests.compute(path)
    stop.set()
    writer.join()
    wait_until_stable(path)
    assert digests.of_file(path) == sha(path.read_bytes())


# --- Git LFS, folders, listings


def pointer(digest: str, extension: str = "") -> str:
    return f"version https://git-lfs.github.com/spec/v1\n{extension}oid sha256:{digest}\nsize 12345\n"


def test_a_pointer_has_the_digest_of_the_file_that_it_names(tmp_path):
    path = tmp_path / "weights"
    path.write_text(pointer("ab" * 32))
    assert digests.of_pointed(path) == "ab" * 32
    assert digests.of_file(path) == sha(path.read_bytes())
    path.write_text(pointer("cd" * 32, "ext-0-foo sha256:" + "ef" * 32 + "\n"))
    assert digests.of_pointed(path) == "cd" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        pointer("ab" * 32)[1:],
        pointer("ab" * 31),
        pointer("AB" * 32),
        pointer("ab" * 32).replace("v1", "v2"),
        pointer("ab" * 32) + "x" * 1024,
    ],
)
def test_a_file_that_is_almost_a_pointer_has_its_own_digest(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert digests.of_pointed(tmp_path / "a") == sha(text.encode())


def test_a_folder_of_pointers_has_the_digest_of_the_folder_of_files(tmp_path):
    full, pointers = tmp_path / "full", tmp_path / "pointers"
    for folder in (full, pointers):
        (folder / "deep").mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (full / "deep/weights").write_bytes(b"\x00" * 5000)
    (pointers / "deep/weights").write_text(pointer(sha(b"\x00" * 5000)))
    assert digests.of_tree(full) == digests.of_tree(pointers, pointers=True)
    assert digests.of_tree(full) != digests.of_tree(pointers)
    assert list(digests.of_folder(full)) == ["config.json", "deep/weights"]


def test_the_digest_of_a_tree_covers_names_and_contents_or_only_some(tmp_path):
    folder = tmp_path / "x"
    assert digests.of_tree(folder) == "absent"
    folder.mkdir()
    empty = digests.of_tree(folder)
    (folder / "a").write_text("1")
    one = digests.of_tree(folder)
    (folder / "b").write_text("2")
    both = digests.of_tree(folder)
    assert len({empty, one, both, "absent"}) == 4
    assert digests.of_tree(folder, ("a",)) == one
    assert digests.of_listing(digests.of_folder(folder)) == both
    (folder / "a").rename(folder / "c")
    assert digests.of_tree(folder) != both
    assert digests.of_tree(folder / "b") == sha(b"2")
    assert digests.of_tree(folder / "b" / "no") == "absent"


def test_the_pointers_of_a_folder_are_listed_by_path(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/weights").write_text(pointer("ab" * 32))
    (tmp_path / "tokenizer").write_text(pointer("cd" * 32))
    (tmp_path / "text").write_text("text")
    (tmp_path / "large").write_text(pointer("ab" * 32) + "x" * 1024)
    assert digests.lfs_pointers(tmp_path) == ["deep/weights", "tokenizer"]


def test_linked_files_enter_the_digest_of_a_folder_and_linked_folders_do_not(tmp_path):
    folder = tmp_path / "x"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("1")
    (folder / "link").symlink_to("deep/a")
    (folder / "loop").symlink_to(".")
    (folder / "dangling").symlink_to("absent")
    assert digests.of_folder(folder) == {"deep/a": sha(b"1"), "link": sha(b"1")}


def test_the_card_of_a_target_enters_no_digest(tmp_path):
    for target, names in (("adapters/v1", ["weights"]), ("data/s", ["README.md", "weights"])):
        folder = tmp_path / target
        folder.mkdir(parents=True)
        (folder / "weights").write_text("weights")
        before = digests.of_input(tmp_path, target)
        (folder / "README.md").write_text("card")
        assert list(digests.of_target(folder, target)) == names
        assert (digests.of_input(tmp_path, target) == before) is (target == "adapters/v1")
        assert digests.of_input(tmp_path, target, ("weights",)) == before
    assert digests.of_input(tmp_path, "adapters/v2") == "absent"


FILES = st.dictionaries(st.text("abc/", min_size=1, max_size=3), st.sampled_from([sha(b"1"), sha(b"2")]), max_size=4)


@given(FILES, FILES)
def test_two_listings_have_one_digest_exactly_if_they_are_equal(first, second):
    assert (digests.of_listing(first) == digests.of_listing(second)) is (first == second)


@given(FILES, st.sets(st.text("abc/", min_size=1, max_size=3)))
def test_the_digest_of_a_listing_ignores_order_and_the_files_that_are_not_read(files, only):
    reversed_ = dict(reversed(files.items()))
    assert digests.of_listing(reversed_, tuple(only)) == digests.of_listing(files, tuple(only))
    if only:
        read = {name: digest for name, digest in files.items() if name in only}
        assert digests.of_listing(files, tuple(only)) == digests.of_listing(read)


def test_clutter_does_not_count(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("row")
    before = digests.of_tree(folder)
    for name in (".DS_Store", "._rows.jsonl", ".rows.jsonl.swp", "rows.jsonl~", "#rows.jsonl#", "Thumbs.db"):
        (folder / name).write_text("x")
    (folder / ".git").mkdir()
    (folder / ".git/head").write_text("x")
    assert digests.of_tree(folder) == before


def test_a_change_behind_a_linked_folder_is_seen(tmp_path):
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "inside/part").symlink_to(tmp_path / "outside")
    (tmp_path / "outside/circle").symlink_to(tmp_path / "inside")
    (tmp_path / "outside/a.txt").write_text("one")
    before = digests.of_tree(tmp_path / "inside")
    assert list(digests.of_folder(tmp_path / "inside")) == ["part/a.txt"]
    (tmp_path / "outside/b.txt").write_text("two")
    assert digests.of_tree(tmp_path / "inside") != before
