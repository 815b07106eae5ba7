from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from punie_build.engine import build, state
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, paths
from tests.support.file_digests import make_unwritable, sha, wait_until_stable
from tests.support.text_tasks import text_task, with_step

DATABASE = f"{paths.STATE}/digests.db"
WRONG = "f" * 64  # a digest that can only come from the cache


def rows(root: Path) -> list[tuple]:
    database = sqlite3.connect(root / DATABASE)
    result = database.execute("select inode, substr(sha256, 1, 64) from digest order by rowid").fetchall()
    database.close()
    return result


def falsify(root: Path) -> None:
    """Replace every digest in the cache."""
    database = sqlite3.connect(root / DATABASE)
    for row in database.execute("select inode, size, mtime, ctime from digest").fetchall():
        database.execute("update digest set sha256 = ? where inode = ?", (digests._sealed(row, WRONG), row[0]))
    database.commit()
    database.close()


def in_another_process(root: Path, *files: Path) -> list[str]:
    """Return the digests that another process computes, which uses the project's cache."""
    code = (
        "import sys; from pathlib import Path; from punie_build.storage import digests\n"
        "digests.use_cache(Path(sys.argv[1]))\n"
        "for path in sys.argv[2:]: print(digests.of_file(path))"
    )
    command = [sys.executable, "-c", code, root, *files]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stderr == ""
    return process.stdout.split()


def test_another_process_uses_the_cache_until_the_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_text("text")
    wait_until_stable(path)
    assert in_another_process(tmp_path, path) == [sha(b"text")]
    assert rows(tmp_path) == [(path.stat().st_ino, sha(b"text"))]
    falsify(tmp_path)
    assert in_another_process(tmp_path, path) == [WRONG], "it was not read again"
    path.touch()
    wait_until_stable(path)
    assert in_another_process(tmp_path, path) == [sha(b"text")]
    assert in_another_process(tmp_path, path) == [sha(b"text")]
    assert [row[1] for row in rows(tmp_path)] == [WRONG, sha(b"text")]


def test_a_file_that_was_read_too_soon_is_not_in_the_cache(tmp_path):
    path = tmp_path / "a"
    digests.use_cache(tmp_path)
    for number in range(200):
        path.write_text(f"{number:08}")
        digests.of_file(path)
    stamp = digests._stamp(path.stat())
    if time.time_ns() < digests._stable_from(stamp):  # else the test was suspended meanwhile
        assert (stamp[0], sha(b"00000199")) not in rows(tmp_path)
    wait_until_stable(path)
    digests.of_file(path)
    assert (stamp[0], sha(b"00000199")) in rows(tmp_path)


def test_many_processes_and_threads_write_one_cache(tmp_path):
    files = [tmp_path / f"{n}" for n in range(40)]
    for n, path in enumerate(files):
        path.write_text(f"{n}")
    wait_until_stable(files[-1])
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(in_another_process(tmp_path, *files))) for _ in range(4)]
    digests.use_cache(tmp_path)
    threads += [
        threading.Thread(target=lambda: results.append([digests.of_file(path) for path in files])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[sha(f"{n}".encode()) for n in range(40)]] * 12
    assert sorted(row[1] for row in rows(tmp_path)) == sorted(sha(f"{n}".encode()) for n in range(40))


def test_only_the_latest_rows_stay_in_the_cache(tmp_path):
    digests.use_cache(tmp_path)
    database = sqlite3.connect(tmp_path / DATABASE)
    rows_ = ((n, 0, 0, 0, WRONG) for n in range(digests.MAX_ROWS + 5))
    database.executemany("insert into digest values (?, ?, ?, ?, ?)", rows_)
    database.commit()
    database.close()
    digests.use_cache(tmp_path)
    assert len(rows(tmp_path)) == digests.MAX_ROWS
    assert rows(tmp_path)[0] == (5, WRONG)


# --- a cache that cannot be used


def built(root: Path, recipe: int = 0) -> str:
    """Build with the project's cache. Return the action."""
    (root / "data/in").mkdir(parents=True, exist_ok=True)
    (root / "data/in/train.jsonl").write_text("one\n")
    task = text_task("s", inputs=("data/in",), a=recipe)

    def step(work: Work) -> StepResult:
        (work.out / "train.jsonl").write_text((work.root / "data/in/train.jsonl").read_text().upper())
        return StepResult("built")

    digests.use_cache(root)
    action = build.build(root, with_step(task, step)).action
    assert state.state(root, task) == "current"
    return action


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\x00" + b"\xff" * 5000, b"\x00" * 8192])
def test_a_cache_that_cannot_be_read_does_not_fail_a_build_and_is_replaced(tmp_path, content):
    (tmp_path / paths.STATE).mkdir()
    (tmp_path / DATABASE).write_bytes(content)
    assert built(tmp_path) == "ran"
    wait_until_stable(tmp_path / "data/s/train.jsonl")
    assert built(tmp_path) == "current"
    assert rows(tmp_path)


def test_a_truncated_cache_does_not_fail_a_build(tmp_path):
    for n in range(300):
        (tmp_path / f"{n}").write_text(f"{n}")
    wait_until_stable(tmp_path / "299")
    digests.use_cache(tmp_path)
    for n in range(300):
        digests.of_file(tmp_path / f"{n}")
    digests.use_cache(unwritable_folder(tmp_path))  # closes the cache
    digests._memory.clear()
    os.truncate(tmp_path / DATABASE, (tmp_path / DATABASE).stat().st_size // 2)
    assert built(tmp_path) == "ran"
    assert built(tmp_path) == "current"


def unwritable_folder(root: Path) -> Path:
    (root / "none").mkdir()
    return make_unwritable(root / "none")


def test_a_cache_with_other_columns_does_not_fail_a_build(tmp_path):
    (tmp_path / paths.STATE).mkdir()
    database = sqlite3.connect(tmp_path / DATABASE)
    database.execute("create table digest (path text, sha256 text)")
    database.execute("insert into digest values ('x', 'y')")
    database.commit()
    database.close()
    assert built(tmp_path) == "ran"
    assert built(tmp_path) == "current"


@pytest.mark.slow
def test_a_cache_that_another_process_locks_does_not_fail_a_build(tmp_path):
    assert built(tmp_path) == "ran"
    other = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    other.execute("begin exclusive")
    try:
        assert built(tmp_path, 1) == "ran"
    finally:
        other.execute("rollback")
        other.close()
    assert (tmp_path / DATABASE).exists(), "a cache in use is not removed"


def test_without_a_writable_cache_digests_stay_in_memory(tmp_path):
    (tmp_path / DATABASE).mkdir(parents=True)  # a folder, not a file
    assert built(tmp_path) == "ran"
    path = tmp_path / "data/s/train.jsonl"
    wait_until_stable(path)
    digests.of_file(path)
    assert digests._stamp(path.stat()) in digests._memory
    assert (tmp_path / DATABASE).is_dir()
    digests.use_cache(unwritable_folder(tmp_path))
    assert digests.of_file(path) == sha(b"ONE\n")


def test_a_project_without_write_permission_can_be_read(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a").write_text("a")
    if subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True).returncode:
        pytest.skip("needs permission to mount a folder read-only")
    try:
        assert in_another_process(folder, folder / "a") == [sha(b"a")]
        assert not (folder / paths.STATE).exists()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_time_that_does_not_fit_into_a_row_stays_in_memory(tmp_path):
    path = tmp_path / "a"
    path.write_text("a")
    digests.use_cache(tmp_path)
    try:
        os.utime(path, ns=(0, 10**9 * 10**10))  # the year 2286
    except (OSError, OverflowError):
        pytest.skip("this file system cannot store that year")
    wait_until_stable(path)
    assert digests.of_file(path) == sha(b"a")
    assert digests._stamp(path.stat()) in digests._memory


def test_a_damaged_row_is_no_digest(tmp_path):
    path = tmp_path / "a"
    path.write_text("text")
    wait_until_stable(path)
    assert in_another_process(tmp_path, path) == [sha(b"text")]
    database = sqlite3.connect(tmp_path / DATABASE)
    database.execute("update digest set sha256 = 'e' || substr(sha256, 2)")
    database.commit()
    database.close()
    assert in_another_process(tmp_path, path) == [sha(b"text")]
