"""The kill matrix in short, and what happens on a full disk and with a rotten store. `tests/kills/builds.py` is the long form."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie_build.storage import paths
from tests.kills.builds import DATA, TRAINING, again, build, kills, made, project

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for orphans in /proc")


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[Path, dict[str, bytes], float]:
    """A built project of quick data stages, the bytes of an uninterrupted build, and how long that takes."""
    place = project(tmp_path_factory.mktemp("data") / "p", DATA)
    started = time.monotonic()
    assert build(place).returncode == 0
    return place, made(place), time.monotonic() - started


@linux
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_data_and_publishing_survive_kills_at_random_instants(reference, sign):
    place, right, span = reference
    again(place)
    for _, wrong, left in kills(place, right, span, 8, random.Random(int(sign)), sign):
        assert (wrong, left) == ([], [])
    assert build(place).returncode == 0
    assert made(place) == right


@linux
def test_training_and_serving_survive_kills_at_random_instants(tmp_path):
    place = project(tmp_path / "p", TRAINING)
    started = time.monotonic()
    assert build(place).returncode == 0
    right, span = made(place), time.monotonic() - started
    again(place)
    for _, wrong, left in kills(place, right, span, 4, random.Random(1)):
        assert (wrong, left) == ([], [])
    assert build(place).returncode == 0
    assert made(place) == right


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 kB, and how to make it larger: `mount -o remount,size=...`."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_fails_in_a_sentence_and_costs_nothing(small_disk, reference):
    _, right, _ = reference
    place = project(small_disk / "p", DATA)
    failures = 0
    for size in (100, 200, 400, 700, 1000, 1400, 1900, 2500, 3200, 4000, 60_000):
        subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True)
        done = build(place)
        assert "Traceback" not in done.stdout + done.stderr
        if done.returncode:
            failures += 1
            assert "No space left on device" in done.stdout + done.stderr
            assert all(right[name] == content for name, content in made(place).items() if not name.endswith(".json"))
    assert failures >= 3
    assert done.returncode == 0
    assert made(place) == right


def test_a_rotten_store_costs_only_time(reference, tmp_path):
    place, right, _ = reference
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    if not made(copy):
        assert build(copy).returncode == 0
    for index, blob in enumerate(sorted((copy / paths.STATE / "store" / "blobs").glob("*/*"))):
        if index % 3 == 0:
            blob.write_bytes(b"rot")
        elif index % 3 == 1 and blob.stat().st_size:
            os.truncate(blob, blob.stat().st_size // 2)
    for top in dict.fromkeys(paths.FOLDERS.values()):
        for folder in (copy / top).glob("*"):
            if folder.is_dir():
                shutil.rmtree(folder)
    done = build(copy)
    assert done.returncode == 0, done.stdout
    assert "restored" in done.stdout
    assert made(copy) == right
    verify = [sys.executable, "-c", "from punie_build.cli.main import main; main(['store', 'verify'])"]
    first = subprocess.run(verify, cwd=copy, capture_output=True, text=True)
    assert (first.returncode, "its bytes are others" in first.stdout) == (2, True)
    assert "its bytes are others" not in subprocess.run(verify, cwd=copy, capture_output=True, text=True).stdout
