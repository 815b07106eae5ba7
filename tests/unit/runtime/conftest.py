"""Python programs as processes of their own, for tests with several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAD = (
    "import sys, threading, time\n"
    "from punie_build.runtime import device_lock, worker_pool\n"
    "from tests.unit.runtime import test_worker_pool as steps\n"
)
Script = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a function that starts a program which may use `device_lock`, `worker_pool` and `steps`; all end with
    the test."""
    started: list[subprocess.Popen[str]] = []
    path = os.pathsep.join([str(ROOT), *sys.path])

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
