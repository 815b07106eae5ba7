"""The start of a `doit` process: how it ends on signals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import project

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


def doit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "doit", *words], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-x"], "doit run: option -x not recognized - `doit help run` lists the options"),
        (["list", "--al", "-y"], "doit list: option -y not recognized - `doit help list` lists the options"),
        (["-n"], "doit run: option -n requires argument - `doit help run` lists the options"),
    ],
)
def test_an_unknown_option_is_one_sentence(tmp_path, words, sentence):
    project.create(tmp_path, project.SAMPLE)
    done = doit(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (2, "", sentence)


@pytest.mark.parametrize("screen", [">&-", "2>&- >&-", "| true"])
def test_a_list_without_a_reader_is_no_traceback(tmp_path, screen):
    project.create(tmp_path, project.SAMPLE)
    script = f'"{sys.executable}" -m doit list --all {screen}'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_of_doit_has_the_usual_options_too(tmp_path):
    project.create(tmp_path, project.SAMPLE)
    assert doit(tmp_path, "-h").stdout.startswith("doit -- automation tool")
    assert doit(tmp_path, "list", "--help").stdout.startswith("PURPOSE\n    list tasks")


def test_a_program_that_imports_the_tasks_keeps_its_signals():
    code, output, errors = ended("program.py")
    assert (output, errors.splitlines()[-1]) == ("went on\n", "KeyboardInterrupt")
    assert code != 130
