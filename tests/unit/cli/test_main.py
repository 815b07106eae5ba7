"""The commands of `punie-build` as processes: output, errors and exit codes."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from punie_build.cli import build as building
from punie_build.cli import registry
from punie_build.cli.main import EXIT_CODES, distribution_with, failure
from punie_build.engine import build, state
from punie_build.errors import RecipeError, UseError, os_error
from punie_build.project import Project
from tests.support.command import punie_build
from tests.support.project import create, edit

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[stage.clean]
from = "sample"
filters = [{ type = "min-messages", messages = 2 }]

[stage.long]
from = "clean"
filters = [{ type = "content-quality" }]
"""


def run(root: Path, *arguments: str, code: int = 0) -> str:
    """Return the output of a command on both streams."""
    process = punie_build(root, *arguments)
    assert process.returncode == code, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    assert str(root) not in process.stdout + process.stderr
    if code == 0:
        assert not process.stderr
    return process.stdout + process.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = create(tmp_path_factory.mktemp("built"), RECIPE)
    for task in Project.load(root).tasks:
        build.build(root, task)
    return root


# help and errors

COMMANDS = {
    name: command
    for module in dict.fromkeys(module for module, _ in registry.MODULES.values())
    for name, command in import_module(f"punie_build.cli.{module}").COMMANDS.items()
}


def test_help_lists_every_command_and_the_exit_codes(tmp_path):
    output = run(tmp_path, "--help")
    for name in COMMANDS:
        assert name.split()[0] in output
    assert EXIT_CODES in " ".join(output.split())


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "punie_build"], [str(Path(sys.executable).with_name("punie-build"))]]
)
def test_version_is_printed_by_the_module_and_by_the_program(tmp_path, command):
    process = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (
        0,
        f"punie-build {metadata.version('punie-build')}\n",
        "",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_help_of_a_command_has_the_first_line_of_its_docstring(tmp_path, name):
    output = run(tmp_path, *name.split(), "--help")
    assert output.startswith(f"usage: punie-build {name} ")
    assert (COMMANDS[name][0].__doc__ or "").splitlines()[0] in " ".join(output.split())
    assert "Exit codes: 0 fine" in output


def test_every_command_is_found_by_its_first_word():
    words = {
        name.split()[0]: module
        for module in dict.fromkeys(m for m, _ in registry.MODULES.values())
        for name in import_module(f"punie_build.cli.{module}").COMMANDS
    }
    assert words == {word: module for word, (module, _) in registry.MODULES.items()}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("why",), ("store",), ("check", "--format", "xml"), ("check", "--gat")])
def test_wrong_use_exits_with_2_and_prints_the_usage(project, arguments):
    code = 0 if arguments == ("check", "--gat") else 2  # an option may be cut short
    output = run(project, *arguments, code=code)
    assert ("usage: punie-build" in output) is (code == 2)


@pytest.mark.parametrize("command", ["plan", "why", "provenance"])
def test_an_unknown_artifact_exits_with_2_and_a_suggestion(project, command):
    output = run(project, command, "stage:claen", code=2)
    assert output == "stage:claen: no such artifact - did you mean 'stage:clean'?\n"
    output = run(project, command, "xyz", code=2)
    assert output == "xyz: no such artifact - known: dataset:sample, stage:clean, stage:long\n"


@pytest.mark.parametrize("arguments", [("check",), ("plan",), ("why", "a:b"), ("provenance", "a:b")])
def test_a_folder_without_recipes_exits_with_3_and_one_line(tmp_path, arguments):
    assert (
        run(tmp_path, *arguments, code=3) == "recipes/: no recipes - write one, `punie-build init` writes an example\n"
    )
    assert not list(tmp_path.iterdir()), "no file is written"


@pytest.mark.parametrize("arguments", [("check",), ("plan",), ("why", "stage:clean"), ("provenance", "stage:clean")])
def test_mistakes_in_recipes_exit_with_3_and_all_are_printed(project, arguments):
    edit(project, "max_examples", "max_exampels")
    edit(project, '"content-quality"', '"content-qualty"')
    assert run(project, *arguments, code=3).splitlines() == [
        "recipes/project.toml: dataset.sample.source.max_exampels: unknown key - did you mean 'max_examples'?",
        (
            "recipes/project.toml: stage.long.filters[0].type: unknown "
            "filter 'content-qualty' - did you mean 'content-quality'?"
        ),
    ]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UseError("x: no"), 2, "x: no"),
        (RecipeError(["a", "b"]), 3, "a\nb"),
        (
            ModuleNotFoundError("No module named 'rich'", name="rich.table"),
            2,
            "rich: not installed - pip install 'punie-build'",
        ),
        (ModuleNotFoundError("", name="pyarrow"), 2, "pyarrow: not installed - pip install 'punie-build[tables]'"),
        (ImportError("cannot import", name="punie_build.cli.x"), 4, "ImportError: cannot import\nthis is a bug"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 2, "a.txt: No such file or directory - it was"),
        (OSError(28, "No space left on device"), 2, "the system: No space left on device - make room on the disk"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), 2, "a: Invalid cross-device link - move both"),
        (OSError(24, "Too many open files", "b"), 2, "b: Too many open files - allow more open files: `ulimit -n"),
        (OSError(99, "odd", 26), 2, "the system: odd - see whether the disk"),
        (OSError("odd"), 2, "the system: odd - see whether the disk"),
        (TypeError("list"), 4, "TypeError: list\nthis is a bug of punie-build - report it"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_has_an_exit_code_and_a_message(error, code, message):
    result = failure(error)
    assert result[0] == code
    assert result[1].startswith(message)


def test_each_error_of_a_disk_has_its_own_advice():
    codes = "EACCES EEXIST EISDIR ENOTDIR ENOENT ENAMETOOLONG EMFILE ENOSPC EROFS EIO EXDEV ELOOP EDQUOT".split()
    advice = {os_error(OSError(getattr(errno, code), "reason"), "place") for code in codes}
    assert len(advice) == len(codes)
    assert all(line.startswith("place: reason - ") for line in advice)


def test_a_missing_package_names_the_extra_that_brings_it():
    assert distribution_with("optuna") == distribution_with("Optuna") == "punie-build[search]"
    assert distribution_with("tensorboardX") == "punie-build[tensorboard]"
    assert distribution_with("jinja2") == distribution_with("unheard_of") == "punie-build"


def test_debug_prints_the_traceback_and_the_same_message(project):
    process = punie_build(project, "--debug", "why", "xyz")
    assert process.returncode == 2
    assert process.stderr.startswith("Traceback")
    assert process.stderr.endswith("xyz: no such artifact - known: dataset:sample, stage:clean, stage:long\n")


def test_a_subfolder_belongs_to_the_project_above_it(project):
    (project / "notes" / "deep").mkdir(parents=True)
    for folder in ("recipes", "notes/deep"):
        process = punie_build(project / folder, "plan", "clean")
        assert process.stdout == punie_build(project, "plan", "clean").stdout
        assert process.stderr == f"project: {'/'.join('..' for _ in Path(folder).parts)}\n"
    output = punie_build(project / "notes", "check", "--format", "json", "--into", "check.json")
    assert (output.returncode, (project / "notes" / "check.json").exists()) == (0, True)


def test_settings_in_pyproject_mark_a_project_too(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.punie-build]\n")
    (tmp_path / "sub").mkdir()
    assert punie_build(tmp_path / "sub", "plan").stderr.startswith("project: ..\nrecipes/: no recipes")


def test_a_command_runs_in_the_folder_of_its_option(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for arguments in (("-C", str(project), "plan"), ("plan", "-C", str(project))):
        assert punie_build(elsewhere, *arguments).stdout == run(project, "plan")
    assert punie_build(elsewhere, "-C", "nowhere", "plan").stderr.startswith("-C nowhere: no such folder - ")


@pytest.mark.parametrize("command", ["gc", "verify", "push"])
def test_the_store_needs_a_project(tmp_path, command):
    assert run(tmp_path, "store", command, code=2).startswith("no project in this folder or above it")


# check, plan, why


@pytest.mark.slow
def test_a_built_project_is_current_for_every_command(project):
    assert run(project, "check") == "recipes: 3 current\n"
    assert run(project, "plan") == "3 artifacts, all current\n"
    assert run(project, "plan", "stage:clean") == "2 artifacts, all current\n"
    assert run(project, "why", "stage:long") == "stage:long and all that it needs are current\n"


@pytest.mark.slow
def test_plan_prints_what_runs_what_may_run_and_for_how_long(project):
    edit(project, "messages = 2", "messages = 3")
    output = run(project, "plan", code=1)
    took = r"\d+\.\d s last time"
    assert re.fullmatch(
        rf"stage:clean {{26}}RUN, {took}\n"
        rf"stage:long {{27}}RUN, {took}, or nothing if its inputs come out the same\n"
        r"1 to run( \(about \d+\.\d s\))?, 1 to run unless cut off \(at most \d+\.\d s\), 1 current\n",
        output,
    )
    assert "stage:long" not in run(project, "plan", "stage:clean", code=1)
    assert run(project, "plan", "dataset:sample") == "1 artifact, all current\n"


def test_why_prints_changes_value_by_value(project):
    edit(project, "messages = 2", "messages = 3")
    output = run(project, "why", "stage:long", code=1)
    assert re.sub(r"\d+\.\d s", "0.1 s", output).splitlines() == [
        "stage:clean: out of date: recipe, code, inputs or tools changed - RUN, 0.1 s last time",
        "    recipe.filters[min-messages].messages: 2 -> 3",
        (
            "stage:long: may be out of date, depends on an upstream rebuild "
            "- RUN, 0.1 s last time, or nothing if its inputs come out the same"
        ),
        "    data/clean is built first",
    ]


def test_why_prints_absent_edited_forgotten_and_new_artifacts(project):
    shutil.rmtree(project / "data/clean")
    (project / "data/long/train.jsonl").write_text("")
    output = re.sub(r"RESTORE.*", "RESTORE", run(project, "why", "stage:long", code=1))
    assert output.splitlines() == [
        "stage:clean: not built - RESTORE",
        "stage:long: its files were edited - RESTORE",
    ]
    state.forget(project, next(task for task in Project.load(project).tasks if task.label == "dataset:sample"))
    assert run(project, "why", "dataset:sample", code=1).startswith("dataset:sample: forgotten - RUN, ")
    edit(project, "[stage.long]", "[stage.longer]")
    assert "stage:longer: not built - RUN\n" in run(project, "why", "stage:longer", code=1)


def test_every_state_of_a_plan_has_words():
    output = {line.split()[0] for line in str(state.__doc__).splitlines() if line.startswith("    ")}
    assert output - {"current"} <= set(building.MEANING)


# provenance and the store


def test_provenance_prints_an_in_toto_statement(project):
    output = json.loads(run(project, "provenance", "stage:clean"))
    assert output["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {each["name"] for each in output["subject"]} >= {"data/clean/train.jsonl"}


def test_an_artifact_that_was_never_built_has_no_provenance(project):
    (project / "data/clean.lock.json").unlink()
    output = run(project, "provenance", "stage:clean", code=2)
    assert output == "stage:clean: not built - `doit stage:clean`\n"


@pytest.mark.parametrize(("command", "line"), [("provenance", "{\n"), ("show", "stage:clean\n")])
def test_a_closed_pipe_is_no_error(project, command, line):
    command = f'set -o pipefail; "{sys.executable}" -m punie_build {command} stage:clean | head -n 1'
    process = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, line, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plna"], "plna: no such command - did you mean 'plan'?\n"),
        (["dataset", "stat"], "stat: no such command - did you mean 'stats'?\n"),
        (["xyzzy"], "xyzzy: no such command - `punie-build --help` lists them\n"),
        (["-C", "nowhere", "plan"], "-C nowhere: no such folder - name one that exists\n"),
    ],
)
def test_a_word_that_is_no_command_or_folder_is_one_sentence(tmp_path, words, message):
    process = punie_build(tmp_path, *words)
    assert (process.returncode, process.stderr) == (2, message)
