from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from punie_build.runtime.child import Child


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" if Path("/proc").exists() else True


def until(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that a child can run; gives its name."""

    def write(code: str) -> str:
        (tmp_path / "grandchild_module.py").write_text(code)
        return "grandchild_module"

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write


def test_a_child_logs_and_ends_with_its_code(tmp_path, module):
    with Child(module("import sys; print('hello'); sys.exit(3)"), [], tmp_path / "a.log") as child:
        assert child.process.wait(20) == 3
    assert "hello" in child.tail()
    assert "exit code 3" in child.failure("it")


def test_a_childs_own_sentence_is_the_reason(tmp_path, module):
    with Child(module("raise SystemExit('punie: x.toml: no - yes')"), [], tmp_path / "a.log") as child:
        child.process.wait(20)
    assert child.failure("it") == "x.toml: no - yes"


def test_leaving_the_block_ends_a_child_that_will_not_listen(tmp_path, module):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with Child(module(code), [], tmp_path / "a.log", grace_seconds=0.5) as child:
        assert until(lambda: "up" in child.tail())
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_and_its_children_die_when_the_parent_is_killed(tmp_path, module):
    module(
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(os.getpid(), p.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = "import sys, time; from pathlib import Path; from punie_build.runtime.child import Child\nwith Child('grandchild_module', [], Path(sys.argv[1])): time.sleep(60)"
    log = tmp_path / "a.log"
    process = subprocess.Popen([sys.executable, "-c", parent, str(log)])
    assert until(lambda: log.exists() and len(log.read_text().split()) == 2)
    pids = [int(pid) for pid in log.read_text().split()]
    assert all(alive(pid) for pid in pids)
    process.kill()
    process.wait()
    assert until(lambda: not any(alive(pid) for pid in pids))
