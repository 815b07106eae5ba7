"""Generated code in the limited process: each answer alone, whatever the code does."""

from __future__ import annotations

import time

import pytest

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.execution import Execute
from punie_build.evaluation.checks.union import Answer, Not
from punie_build.evaluation.suite import Case, Suite
from punie_build.evaluation.suite_file import unlimited

ONE = Execute(tests="assert f() == 1", seconds=1)


def run(code: str, check: Execute = ONE):
    return check.score(Answer(case="c", raw=code, content=f"```python\n{code}\n```"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(): return 2", "tests: AssertionError"),
        ("def f(:", "code: SyntaxError"),
        ("def f(): return g()", "tests: NameError"),
        ("raise SystemExit(0)", "code: SystemExit"),
        ("import os; os._exit(0)", "its process ended"),
        ("import os; os.kill(os.getpid(), 9)", "PermissionError"),
        ("while True: pass", "no result after 1 seconds"),
        ("def f(): return f()", "tests: RecursionError"),
        ("x = 'x' * 10**10", "code: MemoryError"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
        ("import subprocess; subprocess.run(['true'])", "PermissionError"),
        ("open('/tmp/punie-escape', 'w')", "PermissionError"),
        ("import os; os.fork()", "PermissionError"),
    ],
)
@pytest.mark.slow
def test_code_that_fails_or_breaks_out_is_wrong_code_and_no_more(code, reason):
    started = time.monotonic()
    verdict = run(code)
    assert (verdict.score, verdict.failure) == (0.0, "wrong code")
    assert reason in verdict.reason
    assert time.monotonic() - started < 8
    assert run("def f(): return 1").passed, "the next answer is judged"


def test_tests_that_do_not_parse_are_a_mistake_of_the_suite():
    with pytest.raises(ValueError, match="tests: does not parse: line 1"):
        Execute(tests="assert f( == 1")
    assert ONE.score(Answer(case="c", raw="x", content="\ufeffdef f(): return 1")).passed


def test_no_answer_sees_the_effects_of_another():
    assert run("import builtins; builtins.abs = lambda x: 1\ndef f(): return abs(5)").passed
    assert not run("def f(): return abs(5)").passed


def test_a_prefix_stands_before_a_body_and_before_a_whole_function():
    check = Execute(tests="assert f(2) == 4", prefix='from math import *\ndef f(x):\n    """Double."""\n', seconds=1)
    assert check.score(Answer(case="c", raw="x", content="    return 2 * x\n")).passed
    assert run("def f(x):\n    return 2 * x", check).passed
    assert not run("def f(x):\n    return 3 * x", check).passed


def test_code_in_the_calls_of_a_tool_is_run():
    check = Execute(tests="assert x == 3", tool="python", seconds=1)
    calls = (ToolCall("python", {"code": "x = 1"}), ToolCall("python", {"code": "x += 2"}))
    assert check.score(Answer(case="c", raw="x", calls=calls)).passed
    assert check.score(Answer(case="c", raw="x", content="x = 3")).failure == "no call"


def test_a_suite_that_runs_code_is_refused_on_a_system_without_limits():
    suite = Suite(cases=(Case(id="a", prompt="x", checks=(Not(check=ONE),)),))
    assert list(unlimited(suite, "")) == []
    assert list(unlimited(suite, "limits of memory")) == [
        "1 checks or tools run code, and this system has no limits of memory - use Linux or macOS"
    ]
