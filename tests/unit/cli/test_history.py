"""Metrics over the commits of git: `history` and `diff`, in a repository that tries to run programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from punie_build.engine import build
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.reports import charts
from punie_build.storage import git_history, locks, paths
from tests.support.command import punie_build
from tests.support.project import create

RECIPE = """
[dataset.sample]
source = {{ type = "sample", max_examples = {rows} }}

[stage.clean]
from = "sample"
filters = [{{ type = "min-messages", messages = 2 }}]
gates = [{{ metric = "rows", min = 10, tolerance = 5 }}]
"""


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path, title: str, rows: int) -> None:
    (root / "recipes" / "project.toml").write_text(RECIPE.format(rows=rows))
    for task in Project.load(root).tasks:
        build.build(root, task)
    git(root, "add", "-f", "recipes", "data/clean.lock.json", "data/sample.lock.json")
    git(root, "commit", "-q", "-m", title)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A project in a subfolder with three commits, a tag on the second, and programs that git must not start."""
    top = tmp_path_factory.mktemp("history")
    root = create(top / "inner", RECIPE.format(rows=60))
    git(top, "init", "-q")
    commit(root, "first", 60)
    commit(root, "second", 50)
    git(top, "tag", "v1")
    commit(root, "third \x1b[2J", 30)
    program = top / "program"
    program.write_text(f"#!/bin/sh\ntouch {top}/ran\n")
    program.chmod(0o755)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (top / ".git" / "hooks" / hook).write_text(program.read_text())
        (top / ".git" / "hooks" / hook).chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "gpg.program", "diff.external"):
        git(top, "config", key, str(program))
    git(top, "config", "log.showSignature", "true")
    (top / "ran").unlink(missing_ok=True)
    return root


def run(root: Path, *arguments: str, code: int = 0) -> str:
    process = punie_build(root, *arguments)
    assert process.returncode == code, process.stdout + process.stderr
    assert not (root.parent / "ran").exists(), "git started a program of the repository"
    return process.stdout + process.stderr


def test_history_shows_the_metrics_of_each_commit(repository):
    lines = run(repository, "history", "stage:clean", "--metric", "rows").splitlines()
    assert lines[0].split() == ["commit", "date", "rows"]
    rows = [int(line.split()[2]) for line in lines[1:]]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) == 3
    assert lines[-1].endswith("third \\x1b[2J")
    table = json.loads(run(repository, "history", "data/clean", "--json"))
    assert [point["metrics"]["rows"] for point in table["history"]] == rows
    assert run(repository, "history", "clean", "--last", "1").count("\n") >= 2


def test_history_has_a_page_with_a_line(repository):
    run(repository, "history", "clean", "--metric", "rows", "--page", "h.html")
    page = (repository / "h.html").read_text()
    (repository / "h.html").unlink()
    assert page.count("<polyline") == 1
    assert "rows at 3" in page


def test_diff_shows_parameters_and_metrics_of_all_artifacts(repository):
    text = run(repository, "diff", "HEAD~2", "HEAD")
    assert "2 of 2 artifacts differ" in text
    assert "data/sample: changed" in text
    assert "source.max_examples: 60 -> 30" in text
    assert "rows  " in text
    assert "also changed: inputs" in text
    assert "0 of 2 artifacts differ" in run(repository, "diff")


def test_a_gated_metric_that_is_worse_than_at_the_last_tag_fails(repository):
    assert "worse: stage:clean: rows " in run(repository, "diff", "--gate", code=1)
    assert run(repository, "diff", "HEAD", "--gate")
    table = json.loads(run(repository, "diff", "--gate", "--json", code=1))
    assert len(table["worse"]) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("diff", "none"), "none: no commit of this name - name a branch"),
        (("diff", "--", "--output=x"), "--output=x: no commit of this name"),
        (("history", "none"), "none"),
        (("history", "clean", "--metric", "nothing"), "no commit has it - choose "),
    ],
)
def test_mistakes_are_sentences(repository, arguments, problem):
    assert problem in run(repository, *arguments, code=2)


def test_locks_that_were_removed_or_are_none_are_named(repository):
    lock = repository / "data" / "clean.lock.json"
    text = lock.read_bytes()
    for content in (b"<<<<<<< HEAD\n", None):
        lock.unlink() if content is None else lock.write_bytes(content)
        git(repository, "-c", "core.fsmonitor=", "-c", "core.hooksPath=", "add", "-f", "-A", "data/clean.lock.json")
        git(repository, "-c", "core.fsmonitor=", "-c", "core.hooksPath=", "commit", "-q", "-m", "broken")
    lock.write_bytes(text)
    (repository.parent / "ran").unlink(missing_ok=True)
    lines = run(repository, "history", "clean", "--metric", "rows").splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == ["unreadable", "removed"]
    assert "data/clean: was unreadable, removed" in run(repository, "diff", "HEAD~1", "HEAD")
    assert "data/clean: new" in run(repository, "diff", "HEAD")


def test_outside_a_repository_it_is_a_sentence(tmp_path):
    root = create(tmp_path, RECIPE.format(rows=20))
    process = punie_build(root, "diff", "HEAD")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


def test_locks_of_a_commit_are_those_of_its_tree(repository):
    first = git_history.revision(repository, "v1")
    found = git_history.locks_at(repository, first.commit, ["data"])
    assert sorted(found) == ["data/clean", "data/sample"]
    current = locks.read(repository / paths.lock("data/sample"))
    assert current is not None
    assert (found["data/sample"] or git_history.PastLock()).key != current.key


def test_a_chart_of_negative_values_has_its_zero_inside():
    chart = charts.line_chart([charts.Line("a", "valid", ((1, -0.5), (2, 0.5)))], "t", "x", "y")
    heights = [float(part.split('"')[0]) for part in chart.split('cy="')[1:]]
    assert 26 < heights[1] < heights[0] <= 216
    assert ">-0.2<" in chart


def test_what_git_cannot_answer_is_a_sentence(repository, tmp_path, monkeypatch):
    with pytest.raises(UseError, match=r"^git log: .* - run this in a repository of git with commits$"):
        git_history.revisions(tmp_path, "data/clean", 1)
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    with pytest.raises(UseError, match=r"^no tag before this commit - name a revision, or tag one"):
        git_history.last_tag(tmp_path)
    with pytest.raises(UseError, match=r"^git log: takes longer than 1e-09 s - "):
        git_history.run(repository, "log", seconds=1e-9)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UseError, match=r"^git: No such file or directory - install git$"):
        git_history.last_tag(tmp_path)
