"""The tutorial, followed block by block in an empty folder; each night with its trainings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.project import Project
from tests.support.project import ROOT

CODES = {"plan": 1, "why": 1}  # something is to do
ELSEWHERE = ("pip ", "mkdir ")  # what the reader does and a test does not: installing, and choosing a folder
NOW = {
    "$ punie-build build": "$ punie-build build clean",
    "$ punie-build show comparison:v1": "$ punie-build show clean",
}


def follow(folder: Path, blocks: list[tuple[str, str]]) -> str:
    """Write the files and run the commands of blocks (language, text). Return the output of the commands."""
    output = ""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, text in blocks:
        if language != "console":
            path = folder / text.split("\n")[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            continue
        for line in re.findall(r"^\$ (.*)", text, re.MULTILINE):
            if line.startswith(ELSEWHERE):
                continue
            done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
            word = line.split()[1]
            assert done.returncode == CODES.get(word, 0), f"{line}\n{done.stdout}{done.stderr}"
            output += done.stdout
    return output


def sections() -> list[list[tuple[str, str]]]:
    """Return the blocks before and after the reader changes a value."""
    parts = (ROOT / "docs/tutorial.md").read_text().split("## Change something")
    return [re.findall(r"^```(\w+)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE) for part in parts]


def test_the_tutorial_leads_to_data_and_a_plan(tmp_path):
    before, _ = sections()
    shorter = [
        (language, "\n".join(NOW.get(line.strip(), line) for line in text.split("\n"))) for language, text in before
    ]
    output = follow(tmp_path, shorter)
    assert "60 rows, all of them readable" in output
    assert "the suite can be used for gates" in output
    assert "comparison:v1 " in output
    assert (tmp_path / "data/clean/train.jsonl").read_text().count("\n") >= 40
    assert (tmp_path / ".gitignore").exists()


@pytest.mark.nightly
def test_the_adapter_of_the_tutorial_is_better_and_its_gate_passes(tmp_path):
    before, after = sections()
    follow(tmp_path, before)
    project = Project.load(tmp_path)
    comparison = project.lock(project.task("comparison:v1")).metrics
    assert comparison["nano.share"] < 0.2
    assert comparison["v1.low"] > 0
    recipe = tmp_path / "recipes/project.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-3", "learning_rate = 5e-4"))
    commands = [(language, text.replace("check --gate", "check")) for language, text in after]
    assert "recipe.learning_rate: 0.001 -> 0.0005" in follow(tmp_path, commands)
