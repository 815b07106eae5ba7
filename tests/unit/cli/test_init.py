"""The files that `punie-build init` writes, and a project that is built from them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from punie_build.cli.init import ignored_files
from punie_build.project import Project
from tests.support.command import punie_build
from tests.support.doit_runner import doit

ROW = {"messages": [{"role": "user", "content": "Add {} and 2"}, {"role": "assistant", "content": "{}"}]}


def test_a_project_that_init_writes_is_planned_and_its_data_are_built(tmp_path):
    rows = [json.dumps(ROW).replace("{}", word) for word in ("one", "two", "five", "six", "ten") for _ in range(4)]
    (tmp_path / "rows é.jsonl").write_text("\n".join(rows))
    process = punie_build(tmp_path, "init", "--data", "rows é.jsonl")
    assert (process.returncode, process.stdout.count(": written")) == (0, 6)
    project = Project.load(tmp_path)
    assert {"dataset:mine", "stage:clean", "adapter:v1"} <= {task.label for task in project.tasks}
    assert project.build("stage:clean").metrics["examples"] == 5
    assert "adapter:v1" in doit(tmp_path, "list", "--all")
    again = punie_build(tmp_path, "init")
    assert (again.returncode, again.stdout.count("exists, not changed")) == (0, 6)


def test_init_makes_a_folder_with_synthetic_data(tmp_path):
    assert punie_build(tmp_path, "init", "new").returncode == 0
    assert punie_build(tmp_path / "new", "plan", "stage:clean").returncode == 1
    assert "sample" in (tmp_path / "new" / "recipes" / "project.toml").read_text()


@pytest.mark.parametrize("data", ["nowhere.jsonl", "../outside.jsonl"])
def test_init_refuses_data_that_are_not_in_the_project(tmp_path, data):
    (tmp_path / "outside.jsonl").write_text("")
    (tmp_path / "project").mkdir()
    process = punie_build(tmp_path / "project", "init", "--data", data)
    assert (process.returncode, list((tmp_path / "project").iterdir())) == (2, [])
    assert process.stderr.startswith(f"--data {data}: no file or folder in .")


def test_the_gitignore_of_the_docs_is_the_one_that_init_writes():
    text = (Path(__file__).parents[3] / "docs" / "ci.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```gitignore\n(.*?)```", text, re.DOTALL)
    assert set(block.split()) == set(ignored_files().split())


def test_the_recipe_names_the_schema_that_init_wrote(tmp_path):
    assert punie_build(tmp_path, "init").returncode == 0
    recipe = tmp_path / "recipes/project.toml"
    name = recipe.read_text().splitlines()[0].removeprefix("#:schema ")
    assert (recipe.parent / name).read_text() == punie_build(tmp_path, "schema").stdout


@pytest.mark.skipif(not shutil.which("tombi"), reason="tombi is not installed")
def test_an_editor_checks_the_recipe_by_its_schema(tmp_path):
    assert punie_build(tmp_path, "init").returncode == 0
    command = ["tombi", "lint", "--offline", "recipes/project.toml"]
    recipe = tmp_path / "recipes/project.toml"
    accepted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    recipe.write_text(recipe.read_text().replace("iters = 100", "itres = 100"))
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "itres" in refused.stdout + refused.stderr
