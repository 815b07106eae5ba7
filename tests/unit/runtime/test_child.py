"""Child processes: their logs, their failures, and their end."""

from __future__ import annotations

import signal
import subprocess
import sys

import msgspec
import pytest

from punie_build.runtime import child
from punie_build.runtime.child import Child
from tests.support.processes import alive, until


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module which a child can run, and returns its name."""

    def write(code: str) -> str:
        (tmp_path / "grandchild_module.py").write_text(code)
        return "grandchild_module"

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write


def test_a_child_writes_its_log_and_ends_with_its_exit_code(tmp_path, module):
    with Child(module("import sys; print('hello'); sys.exit(3)"), [], tmp_path / "a.log") as child:
        assert child.process.wait(20) == 3
    assert "hello" in child.tail()
    assert "exit code 3" in child.failure("the test")


def test_a_childs_message_for_users_is_the_reason_of_its_failure(tmp_path, module):
    with Child(module("raise SystemExit('punie: x.toml: no - yes')"), [], tmp_path / "a.log") as child:
        child.process.wait(20)
    assert child.failure("the test") == "x.toml: no - yes"


def test_a_message_of_several_lines_is_kept_whole(tmp_path, module):
    code = "print('noise'); raise SystemExit('punie: a: Missing 2 parameters:\\n  x,\\n  y - copy it again\\npunie: b')"
    with Child(module(code), [], tmp_path / "a.log") as child:
        child.process.wait(20)
    assert child.failure("the test") == "a: Missing 2 parameters:\n  x,\n  y - copy it again\nb"


def test_the_first_error_is_shown_and_not_the_lines_after_it(tmp_path, module):
    code = (
        "import sys, traceback\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()\n"
        "for number in range(40):\n    print('cache statistics', number)\n"
        "sys.exit(2)"
    )
    with Child(module(code), [], tmp_path / "a.log") as child:
        child.process.wait(20)
    assert "ZeroDivisionError: division by zero" in child.tail()
    assert "statistics" not in child.tail()


def test_leaving_the_block_ends_a_child_that_ignores_sigterm(tmp_path, module):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with Child(module(code), [], tmp_path / "a.log", grace_seconds=0.5) as child:
        assert until(lambda: "up" in child.tail())
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_and_its_children_end_when_the_parent_is_killed(tmp_path, module):
    module(
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(os.getpid(), p.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = (
        "import sys, time; from pathlib import Path; from punie_build.runtime.child import Child\n"
        "with Child('grandchild_module', [], Path(sys.argv[1])): time.sleep(60)"
    )
    log = tmp_path / "a.log"
    process = subprocess.Popen([sys.executable, "-c", parent, str(log)])
    assert until(lambda: log.exists() and len(log.read_text().split()) == 2)
    pids = [int(pid) for pid in log.read_text().split()]
    assert all(alive(pid) for pid in pids)
    process.kill()
    process.wait()
    assert until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("name", ["queue.py", "socket.py", "tempfile.py"])
def test_a_file_of_the_project_is_no_module_of_the_library(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with Child("json.tool", ["--help"], tmp_path / "child.log") as child:
        assert child.process.wait() == 0, child.text()


def test_the_parameters_of_a_process_are_in_a_file_whose_path_is_its_argument(tmp_path):
    class Job(msgspec.Struct):
        model: str

    argument = child.job_file(tmp_path / "logs/job.json", Job(model="m"))
    assert argument == str(tmp_path / "logs/job.json")
    assert msgspec.json.decode((tmp_path / "logs/job.json").read_bytes(), type=Job) == Job(model="m")
