"""The short kill matrix, a full disk and a corrupt store. `tests/kills/builds.py` is the long form.

PUNIE_KILLS is the number of kills of each test, two by default. The random kills of trainings run only if it is set:
`tests/e2e/test_whole_project.py` kills a training and a server, at two fixed instants.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from punie_build.storage import paths
from tests.kills.builds import FOLDERS, TRAINING, build, data_recipe, files_of_targets, kills, project, reset

DATA = data_recipe(12)
KILLS = int(os.environ.get("PUNIE_KILLS", "0"))
linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for orphans in /proc")


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[Path, dict[str, bytes], float]:
    """A built project of quick data stages, the files of an uninterrupted build, and its duration."""
    root = project(tmp_path_factory.mktemp("data") / "p", DATA)
    started = time.monotonic()
    assert build(root).returncode == 0
    return root, files_of_targets(root), time.monotonic() - started


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    "sign",
    [signal.SIGKILL, *(pytest.param(sign, marks=pytest.mark.nightly) for sign in (signal.SIGTERM, signal.SIGINT))],
)
def test_data_and_publishing_survive_kills_at_random_instants(reference, sign):
    root, expected, duration = reference
    reset(root)
    for _, wrong, orphans in kills(root, expected, duration, KILLS or 2, random.Random(int(sign)), sign):
        assert (wrong, orphans) == ([], [])
    assert build(root).returncode == 0
    assert files_of_targets(root) == expected


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason="set PUNIE_KILLS, the number of kills: minutes")
@linux
def test_training_and_serving_survive_kills_at_random_instants(tmp_path):
    root = project(tmp_path / "p", TRAINING)
    started = time.monotonic()
    assert build(root).returncode == 0
    expected, duration = files_of_targets(root), time.monotonic() - started
    reset(root)
    for _, wrong, orphans in kills(root, expected, duration, KILLS, random.Random(1)):
        assert (wrong, orphans) == ([], [])
    assert build(root).returncode == 0
    assert files_of_targets(root) == expected


@pytest.mark.slow
def test_a_full_disk_is_an_error_in_one_sentence_and_loses_no_file(small_disk, reference):
    _, expected, _ = reference
    root = project(small_disk / "p", DATA)
    failures = 0
    for size in (100, 600, 60_000):
        subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True)
        process = build(root)
        assert "Traceback" not in process.stdout + process.stderr
        if process.returncode:
            failures += 1
            assert "No space left on device" in process.stdout + process.stderr
            files = {name: text for name, text in files_of_targets(root).items() if not name.endswith(".json")}
            assert files.items() <= expected.items()
    assert failures == 2
    assert process.returncode == 0
    assert files_of_targets(root) == expected


@pytest.mark.slow
def test_a_corrupt_store_costs_only_time(reference, tmp_path):
    root, expected, _ = reference
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    if not files_of_targets(copy):
        assert build(copy).returncode == 0
    for index, blob in enumerate(sorted((copy / paths.STATE / "store" / "blobs").glob("*/*"))):
        if index % 3 == 0:
            blob.write_bytes(b"rot")
        elif index % 3 == 1 and blob.stat().st_size:
            os.truncate(blob, blob.stat().st_size // 2)
    for name in FOLDERS:
        for folder in (copy / name).glob("*"):
            if folder.is_dir():
                shutil.rmtree(folder)
    process = build(copy)
    assert process.returncode == 0, process.stdout
    assert "restored" in process.stdout
    assert files_of_targets(copy) == expected
    verify = [sys.executable, "-m", "punie_build", "store", "verify"]
    first = subprocess.run(verify, cwd=copy, capture_output=True, text=True)
    assert (first.returncode, ": corrupt - removed" in first.stdout) == (2, True)
    assert ": corrupt - removed" not in subprocess.run(verify, cwd=copy, capture_output=True, text=True).stdout
