from __future__ import annotations

import time

import msgspec
import pytest

from punie_build.runtime.limited_function import FunctionError, LimitedFunction, missing_limits

FILE = """
import os, sys
def loops(x):
    while x: pass
    return 1
def exits(x):
    os._exit(0) if x else None
    return 2
def steals(x): return sys.stdin.read()
def floods(x): return "x" * (20 << 20)
"""


def function(name: str, source: str = FILE, seconds: float = 20.0) -> LimitedFunction:
    return LimitedFunction(source, "judges/mine.py", name, seconds)


@pytest.mark.parametrize(
    ("name", "seconds", "value", "problem"),
    [("loops", 0.3, 1, "no result after 0.3 seconds"), ("exits", 20.0, 2, "its process ended")],
)
def test_a_function_is_called_again_after_the_end_of_its_process(name, seconds, value, problem):
    call = function(name, seconds=seconds)
    with pytest.raises(FunctionError, match=problem):
        call(b"1")
    assert call(b"0") == value


def test_a_function_that_ends_its_process_every_time_is_not_called_for_ever():
    call, started = function("exits"), time.monotonic()
    for _ in range(100):
        with pytest.raises(FunctionError, match="its process ended"):
            call(b"1")
    with pytest.raises(FunctionError, match="it is not called again"):
        call(b"0")
    assert time.monotonic() - started < 10


def test_a_function_reads_no_request_and_returns_no_flood():
    call = function("steals")
    assert [call(b"1"), call(b"2")] == ["", ""]
    with pytest.raises(FunctionError, match="returned more than 16 MB"):
        function("floods")(b"1")


@pytest.mark.parametrize("source", ["import sys; sys.exit(0)", "import os; os._exit(0)", "1 / 0", "def f(: pass"])
def test_a_file_that_fails_is_no_value(source):
    with pytest.raises(FunctionError):
        function("f", source)(b"1")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sys.path.insert(0, x); import neighbor", "may not read .*neighbor.py"),
        ("open(x + '/neighbor.py')", "may not read"),
        ("exec(open(x + '/link.py').read())", "may not read .*neighbor.py"),
        ("import sqlite3; sqlite3.connect(x + '/a.db')", "may not open the database"),
        ("import socket; socket.gethostbyname('localhost')", "may not do socket.gethostbyname"),
        ("raise Silent()", "raised Silent: without a text"),
        ("raise ValueError(chr(0xD800))", "raised ValueError"),
    ],
)
def test_a_function_reads_no_file_that_no_digest_covers(tmp_path, body, problem):
    (tmp_path / "neighbor.py").write_text("OK = True\n", encoding="utf-8")
    (tmp_path / "link.py").symlink_to(tmp_path / "neighbor.py")
    silent = "class Silent(Exception):\n    def __str__(self): raise ValueError\n"
    call = function("f", f"import sys\n{silent}def f(x):\n    {body}\n")
    with pytest.raises(FunctionError, match=problem):
        call(msgspec.json.encode(str(tmp_path)))


def test_a_function_may_import_installed_packages_and_return_numbers_of_numpy():
    call = function("f", "import msgspec, numpy, zoneinfo\ndef f(x): return numpy.bool_(x)\n")
    assert call(b"1") is True


@pytest.mark.parametrize("isolated", [False, True])
def test_a_process_that_measures_its_own_memory_ends_itself(isolated):
    source = "import time\ndef f(x):\n    big = bytearray(x)\n    time.sleep(9)\n"
    call = LimitedFunction(source, "a.py", "f", 9, isolated=isolated, memory=100 << 20, watched=True)
    started = time.monotonic()
    try:
        outcome = call(str(200 << 20).encode())
    except FunctionError as error:
        outcome = str(error)
    assert "memory" in outcome
    assert time.monotonic() - started < 6


def test_a_child_that_leaves_its_group_and_ignores_alarms_ends_in_time():
    source = (
        "import os, signal, time\n"
        "def f(x):\n    os.setsid()\n    signal.signal(signal.SIGALRM, signal.SIG_IGN)\n    time.sleep(9)\n"
    )
    assert "no result after 1 seconds" in LimitedFunction(source, "a.py", "f", 1, isolated=True)(b"1")


def test_systems_without_limits_are_named():
    assert [bool(missing_limits(name)) for name in ("linux", "darwin", "win32")] == [False, False, True]
