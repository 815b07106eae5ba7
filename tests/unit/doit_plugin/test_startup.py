"""The start of a `doit` process: how it ends on signals."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = [sys.argv[1], "list"]
from punie_build.doit_plugin import startup
startup.begin()
os.kill(os.getpid(), signal.SIGHUP)
print("went on", flush=True)
os.kill(os.getpid(), signal.SIGINT)
"""


def ended(program: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, program], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


def test_doit_ends_in_one_sentence_on_ctrl_c_and_ignores_what_its_caller_ignores():
    sentence = "interrupted: finished artifacts are kept - build again to go on"
    assert ended("/usr/bin/doit") == (130, "went on\n", sentence)


def test_a_program_that_imports_the_tasks_keeps_its_signals():
    code, output, errors = ended("program.py")
    assert (output, errors.splitlines()[-1]) == ("went on\n", "KeyboardInterrupt")
    assert code != 130
