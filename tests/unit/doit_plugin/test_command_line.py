"""Mistakes in the command line of doit, before doit acts on it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from punie_build.doit_plugin.command_line import has_own_tasks, is_doit, problem
from tests.support.doit_runner import doit
from tests.support.project import SAMPLE, create

KNOWN = {"adapter", "adapter:v1", "stage:clean"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("adapter:v2", "adapter:v2: no such artifact - did you mean 'adapter:v1'?"),
        ("v1", "v1: no such artifact - did you mean 'adapter:v1'?"),
        ("-n 4", None),
        ("-n 4 adapter:v1 stage:clan", "stage:clan: no such artifact - did you mean 'stage:clean'?"),
        ("info nope", "nope: no such artifact - known: adapter, adapter:v1, stage:clean"),
        ("clean -n nope", "nope: no such artifact - known: adapter, adapter:v1, stage:clean"),
        ("clean", "doit clean: no artifact is named - name those that `doit list --all` shows, or --clean-all for all"),
        ("forget -s", "doit forget: no artifact is named - name those that `doit list --all` shows, or --all for all"),
        ("info", "doit info: no artifact is named - name those that `doit list --all` shows"),
        ("strace", "doit strace: has no meaning here, where locks tell what is built - see `punie-build why TARGET`"),
        ("adapter:v1 data/clean data/clean/", None),
        ("clean -a", None),
        ("forget --all", None),
        ("clean stage:*", None),
        ("run -a adapter", None),
        ("list -s", None),
        ("help clean", None),
        ("clean --help", None),
        ("", None),
    ],
)
def test_a_mistake_in_the_command_line_is_a_sentence(line, message):
    assert problem(line.split(), KNOWN, {"data/clean"}) == message


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/bin/doit", True), ("doit.exe", True), ("/lib/doit/__main__.py", True), ("/bin/pytest", False), ("", False)],
)
def test_only_the_command_line_of_doit_is_checked(path, expected):
    assert is_doit([path, "nope"]) is expected


def test_a_dodo_file_with_other_tasks_is_left_to_doit():
    module, config = ModuleType("dodo_of_a_test"), {"verbosity": 2}
    module.__dict__.update(DOIT_CONFIG=config, task_artifacts=print)
    sys.modules[module.__name__] = module
    try:
        assert not has_own_tasks(config)
        module.__dict__["task_other"] = print
        assert has_own_tasks(config)
    finally:
        del sys.modules[module.__name__]


def test_doit_exits_with_2_and_a_sentence(tmp_path):
    project = create(tmp_path, SAMPLE)
    hint = "dataset:sampel: no such artifact - did you mean 'dataset:sample'?\n"
    for command in ((), ("info",), ("forget",), ("clean",)):
        assert doit(project, *command, "dataset:sampel", code=2) == hint
    for command in ("forget", "clean", "reset-dep"):
        assert doit(project, command, code=2).startswith(f"doit {command}: ")
