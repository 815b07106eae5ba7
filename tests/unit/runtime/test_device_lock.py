"""Locks on devices: between processes, between threads, and after errors and kills."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from punie_build.errors import DataError, UseError
from punie_build.runtime import device_lock


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    """Give the test a folder of its own, where the locks of a machine lie."""
    folder = tmp_path / "machine"
    folder.mkdir()
    monkeypatch.setenv("PUNIE_BUILD_LOCKS", str(folder))
    return folder


LOCK_REPEATEDLY = """
import os
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(15):
    with device_lock.hold("training", "gpu", print):
        os.write(log, b"in\\n")
        time.sleep(0.005)
        os.write(log, b"out\\n")
"""
HOLD_LOCK = """
with device_lock.hold(sys.argv[1], sys.argv[2], lambda text: print(text, flush=True)):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_one_process_at_a_time_holds_a_device(machine, script):
    log = machine / "log"
    processes = [script(LOCK_REPEATEDLY, log) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert log.read_text() == "in\nout\n" * 45


def test_one_thread_at_a_time_holds_a_device(machine):
    running, maximum = [0], [0]

    def train() -> None:
        for _ in range(5):
            with device_lock.hold("training", "gpu", lambda _text: None):
                running[0] += 1
                maximum[0] = max(maximum[0], running[0])
                time.sleep(0.005)
                running[0] -= 1

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maximum == [1]


def test_a_waiting_process_reports_once_and_continues_when_the_holder_is_killed(machine, script):
    holder = script(HOLD_LOCK, "training", "gpu")
    assert holder.stdout.readline() == "holds\n"
    waiter = script(HOLD_LOCK, "training", "gpu")
    assert waiter.stdout.readline() == "waiting: another training uses the gpu\n"
    holder.kill()
    assert waiter.stdout.readline() == "holds\n"


def test_an_error_releases_the_lock(machine):
    with pytest.raises(DataError), device_lock.hold("training", "gpu", print):
        raise DataError("x")
    lines: list[str] = []
    with device_lock.hold("training", "gpu", lines.append):
        pass
    assert lines == []


def test_other_devices_and_purposes_do_not_wait(machine, script):
    assert script(HOLD_LOCK, "training", "gpu").stdout.readline() == "holds\n"
    lines: list[str] = []
    for purpose, device in (("training", "cpu"), ("serving", "gpu"), ("", "gpu")):
        with device_lock.hold(purpose, device, lines.append):
            pass
    assert lines == []


def test_builds_with_other_temporary_folders_wait_for_each_other(tmp_path, monkeypatch, script):
    program = "import tempfile; tempfile.tempdir = sys.argv[1]; print(device_lock.folder())"
    monkeypatch.delenv("PUNIE_BUILD_LOCKS")
    folders = {script(program, tmp_path / name).stdout.readline() for name in ("a", "b")}
    assert len(folders) == 1
    assert folders.pop().strip().startswith(str(Path.home()))


@pytest.mark.parametrize("kind", ["of another user", "open to others", "a link", "a file"])
def test_a_folder_that_others_can_write_holds_no_lock(tmp_path, monkeypatch, kind):
    path = tmp_path / "locks"
    if kind == "a link":
        (tmp_path / "real").mkdir(mode=0o700)
        path.symlink_to("real")
    elif kind == "a file":
        path.touch()
    else:
        path.mkdir()
        path.chmod(0o777 if "open" in kind else 0o700)
    if kind == "of another user":
        if os.getuid():
            pytest.skip("only root can give a folder away")
        os.chown(path, 12345, 12345)
    monkeypatch.setenv("PUNIE_BUILD_LOCKS", str(path))
    with pytest.raises(UseError, match=r"not a folder of yours alone - remove it, or name another one"):
        device_lock.folder()
    with device_lock.hold("", "gpu", print):
        pass
