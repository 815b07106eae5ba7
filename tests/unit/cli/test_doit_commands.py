"""The commands `build`, `list`, `clean` and `forget`, with and without a dodo.py, and the JSON of commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from punie_build.engine import build
from punie_build.project import Project
from punie_build.runtime.program import build_command
from tests.support.command import program, punie_build
from tests.support.project import DATA_ONLY, create, edit


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = create(tmp_path_factory.mktemp("built"), DATA_ONLY)
    (root / "dodo.py").unlink()
    for task in Project.load(root).tasks:
        build.build(root, task)
    return root


def states(root: Path, *names: str) -> dict[str, str]:
    """The states that `list --json` prints, by label."""
    return {row["label"]: row["state"] for row in json.loads(punie_build(root, "list", *names, "--json").stdout)}


@pytest.mark.slow
def test_artifacts_are_listed_cleaned_forgotten_and_built_without_a_dodo_file(project):
    assert states(project) == {"dataset:sample": "current", "stage:clean": "current"}
    assert punie_build(project, "clean", "clean", "--dry-run").stdout == "stage:clean: data/clean/ would be removed\n"
    assert (project / "data" / "clean").exists()
    assert punie_build(project, "clean", "clean").returncode == 0
    assert states(project, "clean") == {"stage:clean": "not built"}
    restored = program(project, "build", "clean")
    assert (restored.returncode, "restored" in restored.stdout) == (0, True)
    assert program(project, "forget", "stage:clean").returncode == 0
    assert states(project, "clean") == {"stage:clean": "stale"}
    assert program(project, "build").returncode == 0
    assert states(project) == {"dataset:sample": "current", "stage:clean": "current"}


def test_a_dodo_file_gives_its_own_tasks_to_build(project):
    (project / "dodo.py").write_text(
        "import pathlib\nfrom punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts\n\n"
        "def task_artifacts():\n    yield from artifacts()\n\n"
        "def hello():\n    pathlib.Path('hello.txt').write_text('hello')\n\n"
        "def task_hello():\n    return {'actions': [hello]}\n"
    )
    assert program(project, "build", "hello", "clean").returncode == 0
    assert (project / "hello.txt").read_text() == "hello"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import json\nfrom punie_build.no_such_module import x\n", "dodo.py:2: ModuleNotFoundError: No module named"),
        ("def task_x(:\n", "dodo.py:1: SyntaxError: "),
        ("x = 1\ny = x / 0\n", "dodo.py:2: ZeroDivisionError: division by zero - repair it, or remove it"),
    ],
)
def test_a_dodo_file_that_cannot_be_imported_is_one_sentence(project, text, message):
    (project / "dodo.py").write_text(text)
    process = program(project, "build")
    assert process.returncode == 3
    assert process.stderr.startswith(message)
    assert "Traceback" not in process.stdout + process.stderr


def test_a_watch_outside_a_project_ends(tmp_path):
    process = punie_build(tmp_path, "watch")
    assert (process.returncode, process.stdout) == (3, "")
    assert process.stderr.startswith("recipes/: no recipes")


@pytest.mark.parametrize("command", ["build", "list", "clean", "forget"])
def test_an_unknown_artifact_is_named_with_a_suggestion(project, command):
    process = program(project, command, "cleam") if command == "build" else punie_build(project, command, "cleam")
    assert process.returncode == 2
    assert "cleam: no such artifact" in process.stderr
    assert "clean" in process.stderr


@pytest.mark.parametrize("command", ["clean", "forget"])
def test_all_artifacts_are_selected_only_on_request(project, command):
    process = punie_build(project, command)
    assert process.returncode == 2
    assert process.stderr == ("no artifact is named - name artifacts, or use --all for all of them\n")
    assert program(project, command, "--all").returncode == 0
    assert "current" not in states(project).values()


def test_a_build_can_fail_on_gates(project):
    edit(project, "[stage.clean]", '[stage.clean]\ngates = [{ metric = "examples", min = 1000 }]')
    assert program(project, "build").returncode == 0
    process = program(project, "build", "--gate")
    assert process.returncode == 2
    assert "stage:clean: " in process.stderr
    assert "1000" in process.stderr
    assert "GATES FAILED" in punie_build(project, "list").stdout


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("plan",), "artifacts"),
        (("why", "clean"), 0),
        (("show", "clean"), "metrics"),
        (("dataset", "stats", "data/clean"), "splits"),
        (("suite", "check", "baseline"), "sound"),
    ],
)
def test_json_of_commands_is_the_whole_output(project, words, key):
    process = punie_build(project, *words, "--json")
    assert process.returncode == 0
    assert json.loads(process.stdout)[key]


def test_findings_of_an_audit_are_json(project):
    row = (project / "data" / "clean" / "train.jsonl").read_text().splitlines()[0] + "\n"
    (project / "twice.jsonl").write_text(row * 2)
    findings = json.loads(punie_build(project, "dataset", "audit", "twice.jsonl", "--json").stdout)
    assert any("duplicate" in finding["problem"] for finding in findings)


def test_messages_name_the_command_that_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build_command() == "punie-build build"
    (tmp_path / "doit").write_text("#!/bin/sh\n")
    (tmp_path / "doit").chmod(0o755)
    assert build_command() == "doit"


def test_a_project_of_another_folder_is_used(project, tmp_path):
    shutil.copytree(project, tmp_path / "other")
    assert states(tmp_path / "other") == states(project)
