"""Faults of disks, clocks and other users: no room, power cuts, times that lie, and files without permission."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from punie_build.storage import digests
from tests.kills.fault_table.row import (
    LINES_OF_BUILD,
    Result,
    Row,
    SkippedError,
    healed,
    output_problem,
    right,
    sentence,
)
from tests.kills.fault_table.sandbox import Sandbox, doit, wait
from tests.support import cut_disk

FULL, POWER, CLOCK, USER = "full disks", "power cuts", "clocks and stamps", "folders of another user"
YEARS = {"1901": -2_177_452_800, "1970": 0, "10 years ago": -315_360_000, "10 years ahead": 315_360_000,
         "2106": 4_294_967_295, "2603": 19_975_852_800}  # fmt: skip
NOBODY = 65534


@contextmanager
def _small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "fault", folder], capture_output=True)
    if made.returncode:
        raise SkippedError("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _full(spare: int, box: Sandbox) -> Result:
    box.unbuild()
    size = sum(path.stat().st_blocks for path in box.root.rglob("*")) // 2 + 64
    with _small_disk(box.root.parent / "disk", size + spare) as disk:
        root = Path(shutil.copytree(box.root, disk / "p"))
        small = Sandbox(root, box.expected)
        small.log = box.log.with_name("small")
        room = ["mount", "-o", "remount,size=64m", disk]
        return healed(small, mend=lambda: subprocess.run(room, check=True, capture_output=True))


def _cut(instant: float, box: Sandbox) -> Result:
    try:
        with cut_disk.disk(box.root.parent / "disk", 32) as disk:
            root = Path(shutil.copytree(box.root, disk / "p"))
            small = Sandbox(root, box.expected)
            small.log = box.log.with_name("cut")
            small.unbuild()
            os.sync()
            number, log = small.start(doit(), PUNIE_BUILD_SYNC="1")
            time.sleep(instant)
            image = cut_disk.cut(box.root.parent / "disk")
            wait(number, log)
    except cut_disk.NoDiskError as error:
        raise SkippedError("needs the right to mount") from error
    with cut_disk.mounted(image) as disk:
        small = Sandbox(disk / "p", box.expected)
        small.log = box.log.with_name("after")
        done = small.build()
        return output_problem(done) or right(small, done)


def _time(name: str, year: str, box: Sandbox) -> Result:
    seconds = YEARS[year] + (time.time() if "years" in year else 0)
    for path in sorted((box.root / name).rglob("*")) or [box.root / name]:
        os.utime(path, (seconds, seconds), follow_symlinks=False)
    return healed(box)


def _unseen(way: str, index: int, box: Sandbox) -> Result:
    """Change a file within a tick of its clock, to the same size and time: its digest is that of the new bytes."""
    path = box.root / "raw/rows.jsonl"
    digests.of_file(path)
    for turn in range(3):
        content = bytearray(path.read_bytes())
        stat = path.stat()
        content[100 + index] = ord("a") + turn
        match way:
            case "in place":
                with path.open("r+b") as file:
                    file.write(content)
            case "by rename":
                path.with_name("new").write_bytes(content)
                os.utime(path.with_name("new"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
                path.with_name("new").rename(path)
            case "by mmap":
                with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
                    memory[:] = bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if digests.of_file(path) != hashlib.sha256(content).hexdigest():
            return Result("wrong", "the digest is that of the bytes before")
    return Result("right bytes")


def _as_nobody(name: str, mode: int, box: Sandbox) -> Result:
    if os.getuid():
        raise SkippedError("needs to be root")

    def give(root: Path, user: int) -> None:
        for path in (root, *root.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)

    os.chmod(box.root.parent, 0o777)
    give(box.root, NOBODY)
    path = box.root / name
    give(path, 0) if path.is_dir() else os.chown(path, 0, 0)
    path.chmod(mode)

    def build() -> int:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return doit()()

    cache = {"XDG_CACHE_HOME": str(box.root.parent / "cache"), "HOME": str(box.root.parent)}
    done = box.run(build, **cache)
    if problem := output_problem(done):
        return problem
    if done.code:
        refused = sentence(done, LINES_OF_BUILD)
        if not refused.is_held:
            return refused
        give(box.root, NOBODY)
        path.chmod(0o755)
        done = box.run(build, **cache)
        return output_problem(done) or right(box, done, was_refused=True)
    return right(box, done)


def rows(_template: Path) -> Iterator[Row]:
    """Yield the faults of disks, clocks and users."""
    for index in range(28):
        yield Row(FULL, f"{40 * index} kB of room", partial(_full, 40 * index))
    for index in range(14):
        yield Row(POWER, f"after {0.05 * index:.2f} s", partial(_cut, 0.05 * index))
    for name in ("raw", "data", ".punie", "recipes"):
        for year in YEARS:
            yield Row(CLOCK, f"{name} of {year}", partial(_time, name, year))
    for way in ("in place", "by rename", "by mmap"):
        for index in range(20):
            yield Row(CLOCK, f"edit {index} {way}", partial(_unseen, way, index))
    for name in (".punie", ".punie/store", ".punie/digests.db", "data", "data/s1", "raw", "recipes", "reports"):
        for mode in (0o755, 0o700):
            yield Row(USER, f"{name} of root, {mode:o}", partial(_as_nobody, name, mode))
