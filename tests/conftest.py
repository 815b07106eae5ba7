"""Fixtures and settings of all tests: temporary folders and caches, hypothesis profiles, marks by folder, projects."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from punie_build.runtime import import_index
from tests.support import profiles

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # one training at a time is allowed on a machine; two test workers are two machines
    os.environ["TMPDIR"] = str(Path(tempfile.gettempdir(), f"punie-tests-{os.getuid()}-{worker}"))
    Path(os.environ["TMPDIR"]).mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = None
else:  # caches of libraries, which workers and other processes of the tests share: not the user's
    os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir(), f"punie-tests-{os.getuid()}-cache"))
    Path(os.environ["XDG_CACHE_HOME"]).mkdir(mode=0o700, exist_ok=True)
os.environ["PUNIE_BUILD_LOCKS"] = str(Path(tempfile.gettempdir(), f"punie-tests-{os.getuid()}-locks"))

# some containers forbid bytecode files: every process of a test would compile the package, and pytest every test, again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# messages name `doit`, as where the environment is active
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))

# the disk is not waited for; the tests of power cuts set it otherwise
os.environ["PUNIE_BUILD_SYNC"] = "0"

# stores that tests allow are not the user's
os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir(), f"punie-tests-{os.getuid()}-config"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import_index.install()  # two thirds of the start of transformers, for a worker and for the processes forked from it

E2E = Path(__file__).parent / "e2e"
BY_MARK_ONLY = ("nightly", "real")
LONGEST = ("test_whole_project.py", "test_grid.py", "test_server.py", "test_export.py", "test_kills.py")
Write = Callable[[str], Path]


def pytest_report_header() -> str:
    return f"hypothesis profile: {profiles.PROFILE}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of `e2e/`; every `e2e` and `nightly` test is `slow` too. The longest files come first, and a
    worker takes one file at a time: all workers end together, and a project that a file builds is built once.
    Tests marked `nightly` or `real` are deselected unless the expression of `-m` names the mark, or a test is named."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        if E2E in item.path.parents:
            item.add_marker("e2e")
        if any(item.get_closest_marker(mark) for mark in ("e2e", *BY_MARK_ONLY)):
            item.add_marker("slow")
    for mark in BY_MARK_ONLY:
        if mark not in config.getoption("markexpr") and not any("::" in name for name in config.args):
            config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(mark)])
            items[:] = [item for item in items if not item.get_closest_marker(mark)]


def pytest_collection_finish() -> None:
    """Leave what was collected out of later collections of garbage, and in memory that forked processes share."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def recipes(tmp_path: Path) -> Write:
    """Return a function that writes the text of one recipe file and returns the project's root."""

    def write(text: str) -> Path:
        folder = tmp_path / "recipes"
        folder.mkdir(exist_ok=True)
        (folder / "test.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """Copy the project that the module's `built` fixture built once, so that the test may change it."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield an empty folder on another file system than `tmp_path`."""
    for disk in (Path("/dev/shm"), Path.home(), Path("/")):
        if disk.is_dir() and os.access(disk, os.W_OK) and disk.stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(dir=disk) as folder:
                yield Path(folder)
            return
    pytest.skip("needs two file systems")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB. `mount -o remount,size=...` makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a store of the test session, shared by all workers: the value of PUNIE_BUILD_STORE."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if worker else folder) / "shared-store"
    folder.mkdir(exist_ok=True)
    return folder.as_uri()
