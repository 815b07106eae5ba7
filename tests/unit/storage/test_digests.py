from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie_build.engine import build, state
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests
from punie_build.storage import paths as layout
from tests.support.text_tasks import text_task, with_step

BOOK = f"{layout.STATE}/digests.db"
LIE = "f" * 64  # a digest that only a book can have said


@pytest.fixture(autouse=True)
def without_memory(tmp_path_factory) -> Iterator[None]:
    """Each test begins as a new process does, and leaves no book open."""
    digests._known.clear()
    yield
    digests._known.clear()
    digests.remember(no_book(tmp_path_factory.mktemp("none")))


def no_book(root: Path) -> Path:
    """A project in which nothing can be remembered."""
    (root / layout.STATE).write_text("a file in the folder's place")
    return root


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def settled(path: Path) -> None:
    """Wait until the clock of the file system has moved on from the file's last change."""
    time.sleep(max(0, digests._settles(digests._stamp(path.stat())) - time.time_ns()) / 1e9 + 0.002)


def rows(root: Path) -> list[tuple]:
    book = sqlite3.connect(root / BOOK)
    found = book.execute("select inode, sha256 from digest order by rowid").fetchall()
    book.close()
    return found


def lie(root: Path) -> None:
    """Every digest in the book is another one: whoever says it has read the book and not the file."""
    book = sqlite3.connect(root / BOOK)
    book.execute("update digest set sha256 = ?", (LIE,))
    book.commit()
    book.close()


def elsewhere(root: Path, *paths: Path) -> list[str]:
    """What another process says of these files; it keeps the project's book."""
    code = (
        "import sys; from pathlib import Path; from punie_build.storage import digests; digests.remember(Path(sys.argv[1]))\n"
        "for path in sys.argv[2:]: print(digests.of_file(path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, root, *paths], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stderr == ""
    return done.stdout.split()


# --- a file that changed is read again


@pytest.fixture(params=["as here", "ticks", "seconds"])
def clock(request, tmp_path) -> Iterator[Path]:
    """A folder on a file system that counts time as finely as the one here, in ticks of the kernel, or in seconds."""
    place = tmp_path / "clock"
    place.mkdir()
    image = tmp_path / "image"
    commands = {
        "as here": [],
        "ticks": [["mount", "-t", "ramfs", "ramfs", place]],
        "seconds": [["mkfs.ext2", "-q", "-I", "128", image, "4M"], ["mount", "-o", "loop", image, place]],
    }[request.param]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no such file system can be mounted here: {error}")
    yield place
    if commands:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_rewrite_of_the_same_size_is_noticed_however_soon_it_follows(clock):
    """Twice within one tick of the clock a file has one size and one time, and two contents."""
    path, chance, same, before = clock / "a", random.Random(1), 0, None
    for turn in range(1500):
        content = b"%08d" % turn
        with path.open("r+b" if turn else "wb") as file:
            file.write(content)
        stamp = digests._stamp(path.stat())
        same, before = same + (stamp == before), stamp
        assert digests.of_file(path) == sha(content)
        if turn % 50 == 0:
            time.sleep(chance.random() * 0.03)
            assert digests.of_file(path) == sha(content)
    settled(path)
    assert digests.of_file(path) == digests._known[digests._stamp(path.stat())], "at last it is known"
    assert same > 0 or clock.parent.stat().st_dev == clock.stat().st_dev, "there were races"


def test_a_large_file_that_is_rewritten_at_once_is_noticed_and_read_only_once(clock):
    """Reading it twice takes longer than waiting for the clock."""
    path = clock / "large"
    for letter in (b"a", b"b"):
        content = letter * (digests.LARGE + 1)
        path.write_bytes(content)
        assert digests.of_file(path) == sha(content)
        assert digests._stamp(path.stat()) in digests._known


def test_an_edit_whose_time_was_put_back_is_noticed(clock):
    path = clock / "a"
    path.write_text("before")
    settled(path)
    digests.of_file(path)
    was = path.stat()
    assert digests._stamp(was) in digests._known
    path.write_text("behind")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = path.stat()
    assert (now.st_ino, now.st_size, now.st_mtime_ns) == (was.st_ino, was.st_size, was.st_mtime_ns)
    assert digests.of_file(path) == sha(b"behind")


def test_a_file_that_takes_anothers_name_brings_its_own_digest(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("111")
    two.write_text("222")
    settled(two)
    assert [digests.of_file(one), digests.of_file(two)] == [sha(b"111"), sha(b"222")]
    two.rename(tmp_path / "three")
    one.rename(two)
    assert digests.of_file(two) == sha(b"111")
    assert digests.of_file(tmp_path / "three") == sha(b"222")
    os.replace(tmp_path / "three", two)
    assert digests.of_file(two) == sha(b"222")
    two.unlink()
    two.write_text("333")
    assert digests.of_file(two) == sha(b"333"), "though the inode may be the same"


def test_what_is_read_now_is_not_what_was_remembered(tmp_path):
    """`store verify` asks the disk."""
    path = tmp_path / "a"
    path.write_text("x")
    settled(path)
    digests._known[digests._stamp(path.stat())] = LIE
    assert digests.of_file(path) == LIE
    assert digests.read(path) == sha(b"x")
    assert digests.of_file(path) == sha(b"x")


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(64 << 20))
    settled(path)
    done = threading.Event()

    def scribble() -> None:
        with path.open("r+b") as file:
            while not done.is_set():
                file.seek(0)
                file.write(os.urandom(8))
                file.flush()

    writer = threading.Thread(target=scribble)
    writer.start()
    digests.read(path)
    done.set()
    writer.join()
    settled(path)
    assert digests.of_file(path) == sha(path.read_bytes())


# --- the book


def test_another_process_believes_the_book_until_the_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_text("text")
    settled(path)
    assert elsewhere(tmp_path, path) == [sha(b"text")]
    assert rows(tmp_path) == [(path.stat().st_ino, sha(b"text"))]
    lie(tmp_path)
    assert elsewhere(tmp_path, path) == [LIE], "it was not read again"
    path.touch()
    settled(path)
    assert elsewhere(tmp_path, path) == [sha(b"text")]
    assert elsewhere(tmp_path, path) == [sha(b"text")]
    assert [row[1] for row in rows(tmp_path)] == [LIE, sha(b"text")]


def test_what_was_read_too_soon_is_not_in_the_book(tmp_path):
    path = tmp_path / "a"
    digests.remember(tmp_path)
    for turn in range(200):
        path.write_text(f"{turn:08}")
        digests.of_file(path)
    stamp = digests._stamp(path.stat())
    if time.time_ns() < digests._settles(stamp):  # else this machine was stopped for a while just here
        assert (stamp[0], sha(b"00000199")) not in rows(tmp_path)
    settled(path)
    digests.of_file(path)
    assert (stamp[0], sha(b"00000199")) in rows(tmp_path)


def test_many_processes_and_threads_write_one_book(tmp_path):
    paths = [tmp_path / f"{n}" for n in range(40)]
    for n, path in enumerate(paths):
        path.write_text(f"{n}")
    settled(paths[-1])
    said: list[list[str]] = []
    threads = [threading.Thread(target=lambda: said.append(elsewhere(tmp_path, *paths))) for _ in range(4)]
    digests.remember(tmp_path)
    threads += [
        threading.Thread(target=lambda: said.append([digests.of_file(path) for path in paths])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [[sha(f"{n}".encode()) for n in range(40)]] * 12
    assert sorted(row[1] for row in rows(tmp_path)) == sorted(sha(f"{n}".encode()) for n in range(40))


def test_only_the_latest_rows_are_kept(tmp_path):
    digests.remember(tmp_path)
    book = sqlite3.connect(tmp_path / BOOK)
    many = ((n, 0, 0, 0, LIE) for n in range(digests.MOST + 5))
    book.executemany("insert into digest values (?, ?, ?, ?, ?)", many)
    book.commit()
    book.close()
    digests.remember(tmp_path)
    assert len(rows(tmp_path)) == digests.MOST
    assert rows(tmp_path)[0] == (5, LIE)


# --- books that are none


def built(root: Path, recipe: int = 0) -> str:
    """Build over the project's book; how."""
    (root / "data/in").mkdir(parents=True, exist_ok=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    task = text_task("s", inputs=("data/in",), a=recipe)

    def step(work: Work) -> StepResult:
        (work.out / "train.jsonl").write_text((work.root / "data/in/train.jsonl").read_text().upper())
        return StepResult("made")

    digests.remember(root)
    how = build.build(root, with_step(task, step)).action
    assert state.state(root, task) == "current"
    return how


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\x00" + b"\xff" * 5000, b"\x00" * 8192])
def test_a_book_that_cannot_be_read_does_not_fail_a_build_and_is_begun_anew(tmp_path, content):
    (tmp_path / layout.STATE).mkdir()
    (tmp_path / BOOK).write_bytes(content)
    assert built(tmp_path) == "ran"
    settled(tmp_path / "data/s/train.jsonl")
    assert built(tmp_path) == "current"
    assert rows(tmp_path)


def test_a_book_that_is_cut_off_does_not_fail_a_build(tmp_path):
    for n in range(300):
        (tmp_path / f"{n}").write_text(f"{n}")
    settled(tmp_path / "299")
    digests.remember(tmp_path)
    for n in range(300):
        digests.of_file(tmp_path / f"{n}")
    digests.remember(no_book_beside(tmp_path))  # closes the book
    digests._known.clear()
    os.truncate(tmp_path / BOOK, (tmp_path / BOOK).stat().st_size // 2)
    assert built(tmp_path) == "ran"
    assert built(tmp_path) == "current"


def no_book_beside(root: Path) -> Path:
    (root / "none").mkdir()
    return no_book(root / "none")


def test_a_book_of_another_make_does_not_fail_a_build(tmp_path):
    (tmp_path / layout.STATE).mkdir()
    book = sqlite3.connect(tmp_path / BOOK)
    book.execute("create table digest (path text, sha256 text)")
    book.execute("insert into digest values ('x', 'y')")
    book.commit()
    book.close()
    assert built(tmp_path) == "ran"
    assert built(tmp_path) == "current"


def test_a_book_that_another_process_holds_does_not_fail_a_build(tmp_path):
    assert built(tmp_path) == "ran"
    holder = sqlite3.connect(tmp_path / BOOK, isolation_level=None)
    holder.execute("begin exclusive")
    try:
        assert built(tmp_path, 1) == "ran"
    finally:
        holder.execute("rollback")
        holder.close()
    assert (tmp_path / BOOK).exists(), "a book in use is not torn"


def test_where_no_book_can_be_written_this_run_alone_remembers(tmp_path):
    (tmp_path / BOOK).mkdir(parents=True)  # a folder in its place
    assert built(tmp_path) == "ran"
    path = tmp_path / "data/s/train.jsonl"
    settled(path)
    digests.of_file(path)
    assert digests._stamp(path.stat()) in digests._known
    assert (tmp_path / BOOK).is_dir()
    digests.remember(no_book_beside(tmp_path))
    assert digests.of_file(path) == sha(b"ONE\n")


def test_a_project_that_cannot_be_written_at_all_can_be_read(tmp_path):
    place = tmp_path / "project"
    place.mkdir()
    (place / "a").write_text("a")
    if subprocess.run(["mount", "--bind", "-o", "ro", place, place], capture_output=True).returncode:
        pytest.skip("needs the right to mount a folder that cannot be written")
    try:
        assert elsewhere(place, place / "a") == [sha(b"a")]
        assert not (place / layout.STATE).exists()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_time_that_does_not_fit_into_a_row_is_remembered_by_this_run(tmp_path):
    path = tmp_path / "a"
    path.write_text("a")
    digests.remember(tmp_path)
    try:
        os.utime(path, ns=(0, 10**9 * 10**10))  # the year 2286
    except (OSError, OverflowError):
        pytest.skip("this file system knows no such year")
    settled(path)
    assert digests.of_file(path) == sha(b"a")
    assert digests._stamp(path.stat()) in digests._known


# --- Git LFS, folders, listings


def pointer(digest: str, more: str = "") -> str:
    return f"version https://git-lfs.github.com/spec/v1\n{more}oid sha256:{digest}\nsize 12345\n"


def test_a_pointer_stands_for_the_file_it_names(tmp_path):
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
def test_what_only_looks_like_a_pointer_is_a_file(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert digests.of_pointed(tmp_path / "a") == sha(text.encode())


def test_a_folder_of_pointers_is_the_folder_they_stand_for(tmp_path):
    full, thin = tmp_path / "full", tmp_path / "thin"
    for place in (full, thin):
        (place / "deep").mkdir(parents=True)
        (place / "config.json").write_text("{}")
    (full / "deep/weights").write_bytes(b"\x00" * 5000)
    (thin / "deep/weights").write_text(pointer(sha(b"\x00" * 5000)))
    assert digests.of_tree(full) == digests.of_tree(thin, pointers=True)
    assert digests.of_tree(full) != digests.of_tree(thin)
    assert list(digests.of_folder(full)) == ["config.json", "deep/weights"]


def test_a_tree_is_its_names_and_contents_and_only_those_that_are_asked_for(tmp_path):
    place = tmp_path / "x"
    assert digests.of_tree(place) == "absent"
    place.mkdir()
    empty = digests.of_tree(place)
    (place / "a").write_text("1")
    one = digests.of_tree(place)
    (place / "b").write_text("2")
    both = digests.of_tree(place)
    assert len({empty, one, both, "absent"}) == 4
    assert digests.of_tree(place, ("a",)) == one
    assert digests.of_listing(digests.of_folder(place)) == both
    (place / "a").rename(place / "c")
    assert digests.of_tree(place) != both
    assert digests.of_tree(place / "b") == sha(b"2")
    assert digests.of_tree(place / "b" / "no") == "absent"


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
