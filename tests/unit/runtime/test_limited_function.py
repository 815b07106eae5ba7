from __future__ import annotations

import time

import pytest

from punie_build.runtime.limited_function import FunctionError, LimitedFunction

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
