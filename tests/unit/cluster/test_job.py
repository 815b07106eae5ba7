"""A job: the result of a local build, by way of the shared store, or a sentence why not."""

import os
import pickle
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.cluster import job
from punie_build.cluster.request import ClusterError, request_of
from punie_build.engine import build
from punie_build.engine import state as states
from punie_build.project import Project
from punie_build.storage import paths
from tests.support import project as projects

RECIPE = """
[dataset.own]
source = { type = "local", path = "raw" }
split = { group_by = [] }

[stage.clean]
from = "own"
filters = [{ type = "min-messages", messages = 2 }]
"""
ROWS = "".join(
    f'{{"messages": [{{"role": "user", "content": "{word}?"}}, {{"role": "assistant", "content": "{word}"}}]}}\n'
    for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a shared store, whose jobs run below `tmp_path`."""
    monkeypatch.setenv("PUNIE_BUILD_STORE", (tmp_path / "shared").as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "worker"))
    return Project.load(projects.create(tmp_path / "here", RECIPE, {"raw/a/rows.jsonl": ROWS, "raw/.DS_Store": ""}))


def request(project: Project, label: str, **changes):
    """Return the request of a task as a worker receives it."""
    work = build.work_of(project.root, project.task(label))
    current = states.key_inputs(project.root, work.task)
    return structs.replace(pickle.loads(pickle.dumps(request_of(work, current, None, "project"))), **changes)


def run(project: Project, order, tmp_path: Path):
    folder = tmp_path / f"job-{len(list(tmp_path.glob('job-*')))}"
    folder.mkdir()
    return job.run((order, folder))


def test_what_a_job_makes_is_what_a_build_makes(project, tmp_path):
    for label in ("dataset:own", "stage:clean"):
        reply = run(project, request(project, label), tmp_path)
        assert reply.error == ""
        assert "examples" in reply.message
        outcome = build.build(project.root, project.task(label))
        assert outcome.action == "restored"
    here = {label: project.lock(label).outputs for label in ("dataset:own", "stage:clean")}
    other = Project.load(projects.create(tmp_path / "other", RECIPE, {"raw/a/rows.jsonl": ROWS}))
    for label, outputs in here.items():
        build.build(other.root, structs.replace(other.task(label)), afresh=True)
        assert other.lock(label).outputs == outputs
    assert [path.name for path in job.folder_of("project").iterdir()] == ["state"]


def test_a_worker_that_would_make_something_else_says_what_differs(project, tmp_path):
    order = request(project, "dataset:own")
    other = structs.replace(order.current, tools={"mlx": "0.1"}, code="another")
    error = run(project, structs.replace(order, current=other), tmp_path).error
    assert "the worker would make something else (" in error
    assert "tools.mlx: 0.1 ->" in error
    assert "give it the same versions" in error


def test_a_worker_that_cannot_read_the_store_says_so(project, tmp_path):
    order = request(project, "dataset:own")
    elsewhere = structs.replace(order.store, store=(tmp_path / "elsewhere").as_uri())
    error = run(project, structs.replace(order, store=elsewhere), tmp_path).error
    assert error == f"raw/a/rows.jsonl: the worker cannot read it in the shared store {elsewhere.store}"


def test_an_error_of_a_step_is_the_answer(project, tmp_path):
    (project.root / "raw/a/rows.jsonl").write_text("{broken\n")
    assert "rows.jsonl" in run(project, request(project, "dataset:own"), tmp_path).error


def test_an_input_without_a_lock_is_not_sent(project):
    build.build(project.root, project.task("dataset:own"))
    (project.root / paths.lock("data/own")).unlink()
    with pytest.raises(ClusterError, match=r"^data/own: has no lock - build it first$"):
        request(project, "stage:clean")


def test_an_input_that_was_built_before_there_was_a_store_is_uploaded(project, monkeypatch, tmp_path):
    shared = os.environ["PUNIE_BUILD_STORE"]
    monkeypatch.setenv("PUNIE_BUILD_STORE", "")
    build.build(project.root, project.task("dataset:own"))
    monkeypatch.setenv("PUNIE_BUILD_STORE", shared)
    assert run(project, request(project, "stage:clean"), tmp_path).error == ""
