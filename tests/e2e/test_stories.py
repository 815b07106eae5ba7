"""The stories in `recipes/stories/`: each plans without an error; each night, each is built from nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.preflight import preview
from punie_build.project import Project
from punie_build.storage import paths
from tests.support.doit_runner import doit, ran
from tests.support.project import ROOT

NAMES = sorted(path.stem for path in (ROOT / "recipes/stories").glob("*.toml"))
REPORTS = ("comparison", "grid")
EDITS = {  # story -> an edit of its file, and the kinds of artifacts that are built again
    "full-pipeline": ("learning_rate = 2e-3", "learning_rate = 1e-3", {"adapter", "answers", "eval", "comparison"}),
    "prompt-ab": ("helpful assistant", "careful assistant", {"answers", "eval", "comparison"}),
}


def create(root: Path) -> Path:
    """Write a project with the recipes of this repository, without what they give."""
    for folder in ("recipes", "stories"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copy(ROOT / "dodo.py", root)
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return Project.load(create(tmp_path_factory.mktemp("stories")), remember=False)


def test_each_story_has_a_tutorial():
    assert NAMES
    assert sorted(path.stem for path in (ROOT / "docs/tutorials").glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_story_plans_without_an_error_and_ends_in_a_report(project, name):
    planned = project.plan([f"stories:{name}"])
    assert {item.action for item in planned} == {"run"}
    assert planned[-1].task.kind.name in REPORTS
    assert [finding for finding in preview.preview(project.root, planned).findings if finding.level == "error"] == []


def test_a_build_of_everything_and_the_check_leave_the_stories_out(project):
    assert {task.label for task in project.default_tasks if task.file.startswith("recipes/stories/")} == set()
    assert "comparison:quickstart" in {task.label for task in project.default_tasks}


@pytest.mark.parametrize("kind", ["cases", "practice", "manners"])
def test_the_suites_of_the_stories_are_what_their_program_writes(kind):
    command = [sys.executable, "stories/rows.py", kind]
    written = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    assert written == (ROOT / f"stories/{kind}.jsonl").read_bytes()


def test_no_case_of_a_story_is_asked_as_a_row_is():
    def lines(*command: str) -> list[dict]:
        done = subprocess.run([sys.executable, "stories/rows.py", *command], cwd=ROOT, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    questions = {
        message["content"] for row in lines("mixed") for message in row["messages"] if message["role"] == "user"
    }
    assert len(questions) > 200
    assert questions.isdisjoint(case["prompt"] for case in lines("cases")[1:])


def test_the_locks_of_the_stories_are_ignored_and_those_of_the_quickstart_are_not(project):
    locks = [paths.lock(task.target) for task in project.optional_tasks]
    kept = [paths.lock(task.target) for task in project.default_tasks]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(locks + kept), capture_output=True, text=True)
    if done.returncode > 1:
        pytest.skip("not a git work tree")
    assert done.stdout.split() == locks


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_built_from_nothing_and_then_current(name, tmp_path):
    root = create(tmp_path)
    labels = {task.label for task in Project.load(root).select([f"stories:{name}"])}
    assert ran(doit(root, f"stories:{name}")) == labels
    assert ran(doit(root, f"stories:{name}")) == set()
    if name in EDITS:
        old, new, kinds = EDITS[name]
        file = root / f"recipes/stories/{name}.toml"
        file.write_text(file.read_text().replace(old, new))
        assert {label.partition(":")[0] for label in ran(doit(root, f"stories:{name}"))} == kinds
