"""Mistakes in the command line of doit, before doit acts on it."""

from __future__ import annotations

import dbm
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from punie_build.doit_plugin.command_line import has_own_tasks, is_doit, problem
from punie_build.doit_plugin.dumpdb import DumpDB
from tests.support.doit_runner import doit
from tests.support.project import SAMPLE, create

KNOWN = {"adapter", "adapter:v1", "stage:clean", "mix:all", "eval:all"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("adapter:v2", "adapter:v2: no such artifact - did you mean 'adapter:v1'?"),
        ("v1", "v1: no such artifact - name it with its kind: adapter:v1"),
        ("all", "all: no such artifact - name it with its kind: eval:all or mix:all"),
        ("-n 4", None),
        ("-n 4 adapter:v1 stage:clan", "stage:clan: no such artifact - did you mean 'stage:clean'?"),
        ("info nope", "nope: no such artifact - known: adapter, adapter:v1, eval:all, mix:all, stage:clean"),
        ("clean -n nope", "nope: no such artifact - known: adapter, adapter:v1, eval:all, mix:all, stage:clean"),
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
        ("-o no/where", "no/where: its folder does not exist - create it, or name another file"),
        ("run --output-file=/", "/: a folder, not a file - name the file for the output"),
        ("list --template {x}", "{x}: not a template ('x') - it may hold {name}, {doc} and {status}"),
        ("list --template={name}", None),
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


def test_dumpdb_of_a_project_without_a_database_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = DoitMain(
        ModuleTaskLoader({}), extra_config={"COMMAND": {"dumpdb": "punie_build.doit_plugin.dumpdb:DumpDB"}}
    )
    assert program.run(["dumpdb"]) == 2
    assert capsys.readouterr().err.startswith("doit dumpdb: .doit.db: no database of doit - ")


def test_dumpdb_prints_the_database_of_another_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with dbm.open(".doit.db", "c") as database:
        database["copy"] = '{"result:": 5}'
    program = DoitMain(
        ModuleTaskLoader({}), extra_config={"COMMAND": {"dumpdb": "punie_build.doit_plugin.dumpdb:DumpDB"}}
    )
    assert not program.run(["dumpdb"])
    assert "{'result:': 5}" in capsys.readouterr().out


def test_the_package_declares_its_dumpdb():
    entry_points = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]
    assert entry_points["doit.COMMAND"] == {"dumpdb": f"{DumpDB.__module__}:{DumpDB.__name__}"}
