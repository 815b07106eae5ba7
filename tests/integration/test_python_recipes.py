"""Recipes in Python: `dodo.py` writes them down as TOML, and every command knows them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from punie_build.data.filters.union import Language, MinMessages
from punie_build.data.sources import Sample
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.project import Project
from punie_build.recipes import python_recipes
from punie_build.training.spec import Adapter, Lora
from tests.support import project
from tests.support.command import punie_build
from tests.support.doit_runner import doit

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
[DODO] = [block for block in re.findall(r"```python\n(.*?)```", RECIPES, re.DOTALL) if "def task_artifacts" in block]


def test_specs_are_written_as_a_person_would_write_them():
    text = python_recipes.encode(
        {
            "dataset": {"s": Dataset(source=Sample(max_examples=9))},
            "mix": {"all": Mix(from_=("s", "hand-authored"))},
            "adapter": {"v.1": Adapter(base="nano", data="all", lora=Lora(rank=4))},
        }
    )
    assert tomllib.loads(text) == {
        "dataset": {"s": {"source": {"type": "sample", "max_examples": 9}}},
        "mix": {"all": {"from": ["s", "hand-authored"]}},
        "adapter": {"v.1": {"base": "nano", "data": "all", "lora": {"rank": 4}}},
    }


def test_they_give_the_same_entries_as_the_same_values_in_toml(tmp_path):
    stage = Stage(from_="s", filters=(Language(languages=("en",)), MinMessages(messages=4)))
    recipes = {"dataset": {"s": Dataset(source=Sample(max_examples=9))}, "stage": {"t": stage}}
    python_recipes.write(tmp_path / python_recipes.FILE, recipes)
    assert Project.load(tmp_path).recipe.entries["stage", "t"].spec == stage


@pytest.mark.slow
def test_doit_builds_them_and_commands_that_run_no_code_know_them(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "dodo.py").write_text(DODO)
    assert "stage:lang-de" in doit(tmp_path, "list", "--all")
    file = tmp_path / python_recipes.FILE
    written = file.stat().st_mtime_ns
    doit(tmp_path, "stage:lang-en")
    assert file.stat().st_mtime_ns == written, "an unchanged file is not written again"
    why = punie_build(tmp_path, "why", "stage:lang-en")
    assert why.stdout == "stage:lang-en and all that it needs are current\n"


def test_a_mistake_in_them_is_reported_like_one_in_toml(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "dodo.py").write_text(DODO.replace('from_="sample"', 'from_="sampel"'))
    report = doit(tmp_path, "list", code=3)
    assert "recipes/dodo.toml: stage.lang-en.from: no dataset or stage or mix is called 'sampel'" in report


@pytest.mark.slow
def test_a_program_that_builds_without_a_guard_of_main_is_told_so(tmp_path):
    """The processes of a build import the program: without the guard each would build, and wait for its own parent."""
    stage = '[stage.s]\nfrom = "sample"\nfilters = [{ type = "min-messages" }]\n'
    project.create(tmp_path, project.SAMPLE + stage)
    program = 'from punie_build.project import Project\nProject.load().build("stage:s")\n'
    (tmp_path / "program.py").write_text(program)
    run = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert "stage:s: a process that builds imports this program again" in run.stderr
    assert 'put the build under `if __name__ == "__main__":`' in run.stderr
