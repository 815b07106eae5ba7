"""doit on data recipes: its output and its commands. Training and serving are in `tests/e2e/test_whole_project.py`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import punie_build
from tests.support.doit_runner import doit, ran
from tests.support.project import create, edit

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 40 }

[stage.long]
from = "sample"
filters = [{ type = "min-messages", messages = 2 }]

[stage.good]
from = "long"
filters = [{ type = "content-quality" }]

[stage.other]
from = "sample"
filters = [{ type = "ends-with-assistant" }]

[mix.all]
from = ["good", "hand-authored"]
"""
ALL = {"dataset:sample", "dataset:hand-authored", "stage:long", "stage:good", "stage:other", "mix:all"}


def statuses(project: Path) -> dict[str, str]:
    return {line.split()[1]: line[0] for line in doit(project, "list", "-s").splitlines() if line}


def events(project: Path) -> list[dict]:
    return [json.loads(line) for line in (project / ".punie" / "events.jsonl").read_text().splitlines()]


def files_of_targets(project: Path) -> dict[Path, bytes]:
    return {path.relative_to(project): path.read_bytes() for path in sorted((project / "data").glob("*/*"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    project = create(tmp_path_factory.mktemp("project"), RECIPE)
    assert ran(doit(project)) == ALL
    return project


def test_current_artifacts_are_counted_and_the_root_stays_clean(project):
    assert doit(project).startswith("6 artifacts: 6 current")
    names = {path.name for path in project.iterdir()} - {"__pycache__"}
    assert names == {".punie", "data", "dodo.py", "recipes", "reports"}


@pytest.mark.slow
def test_reasons_are_printed_first_and_cut_off_tasks_are_listed(project):
    edit(project, "messages = 2", "messages = 1")
    edit(project, '"content-quality"', '"content-quality", min_chars = 1')
    output = doit(project)
    assert ".  stage:long\n   because recipe.filters[min-messages].messages: 2 -> 1\n" in output
    edit(project, '"ends-with-assistant"', '"ends-with-assistant" }, { type = "min-messages", messages = 1')
    assert "because recipe.filters[min-messages]: (none) -> {'type': 'min-messages', 'messages': 1}" in doit(project)
    doit(project, "forget", "stage:good")
    output = doit(project)
    assert "=  mix:all  its inputs came out the same" in output
    assert re.search(r"^6 artifacts: 1 ran, 1 cut off, 4 current  \(", output, re.MULTILINE)


def test_failed_gates_are_told_by_a_build_by_plan_by_list_and_on_the_index(project):
    edit(project, "max_examples = 40 }", "max_examples = 40 }\ngates = [{ metric = 'examples', min = 90 }]")
    line = "dataset:sample: gate 'examples': 40 is below 90"
    assert f"1 gate fails\n    {line}\n" in doit(project)
    assert line not in doit(project, "dataset:hand-authored"), "only what is built is judged"
    assert "1 gate fails" in doit(project, "list", "--all")
    process = punie_build(project, "plan")
    assert (process.returncode, line in process.stdout) == (0, True)
    punie_build(project, "report")
    index = (project / "reports" / "index.html").read_text()
    assert "<strong>✗ 1 gate fails</strong>" in index
    assert "✗ 1 gate failed" in index
    assert 'class="banner improved"' not in index
    edit(project, "min = 90", "min = 4")
    assert "gate" not in doit(project) + punie_build(project, "plan").stdout
    punie_build(project, "report")
    assert "gate" not in (project / "reports" / "index.html").read_text().partition("<body")[2]


def test_list_status_includes_the_effects_of_a_change(project):
    assert set(statuses(project).values()) == {"U"}
    edit(project, "messages = 2", "messages = 3")
    status = statuses(project)
    assert {label for label in ALL if status[label] == "R"} == {"stage:long", "stage:good", "mix:all"}
    assert (status["stage"], status["dataset"]) == ("R", "U")


@pytest.mark.slow
def test_forget_rebuilds_and_does_not_restore(project):
    assert "forgetting stage:good" in doit(project, "forget", "stage:good")
    assert statuses(project)["stage:good"] == "R"
    output = doit(project)
    assert ran(output) == {"stage:good"}
    assert "because it was forgotten" in output
    assert doit(project).startswith("6 artifacts: 6 current")
    doit(project, "forget", "--all")
    assert ran(doit(project)) == ALL


@pytest.mark.slow
def test_clean_removes_targets_keeps_locks_and_the_next_build_restores(project):
    before = files_of_targets(project)
    locks = sorted((project / "data").glob("*.lock.json"))
    doit(project, "clean", "-a")
    assert files_of_targets(project) == {}
    assert sorted((project / "data").glob("*.lock.json")) == locks
    output = doit(project)
    assert output.count("restored from the store") == 6
    assert files_of_targets(project) == before


@pytest.mark.slow
def test_clean_of_a_target_removes_only_its_files(project):
    doit(project, "clean", "stage:other")
    assert not (project / "data/other").exists()
    assert (project / "data/good").exists()


@pytest.mark.slow
def test_clean_with_forget_rebuilds(project):
    doit(project, "clean", "--forget", "stage:other")
    output = doit(project)
    assert ran(output) == {"stage:other"}
    assert "restored" not in output


@pytest.mark.slow
def test_ignore_lasts_until_forget(project):
    doit(project, "ignore", "stage:other")
    shutil.rmtree(project / "data/other")
    assert "!! stage:other  ignored" in doit(project)
    assert not (project / "data/other").exists()
    doit(project, "forget", "stage:other")
    assert ran(doit(project)) == {"stage:other"}


@pytest.mark.slow
def test_always_rebuilds_current_artifacts(project):
    assert ran(doit(project, "-a", "stage:other")) == {"dataset:sample", "stage:other"}


@pytest.mark.slow
def test_parallel_tasks_give_the_same_bytes_and_have_their_own_logs(project):
    before = files_of_targets(project)
    shutil.rmtree(project / ".punie")
    shutil.rmtree(project / "data")
    output = doit(project, "-n", "4")
    assert ran(output) == ALL
    assert files_of_targets(project) == before
    edit(project, "messages = 2", "messages = 3")
    doit(project, "-n", "4")
    log = (project / ".punie/logs/data/long/build.log").read_text()
    assert log == "because recipe.filters[min-messages].messages: 2 -> 3\n"


@pytest.mark.slow
def test_events_report_the_progress_of_a_build_to_programs(project):
    (project / ".punie/events.jsonl").unlink()
    edit(project, "messages = 2", "messages = 3")
    doit(project)
    lines = events(project)
    assert (lines[0]["event"], lines[0]["tasks"]) == ("start", 6)
    [event] = [event for event in lines if event["event"] == "ran" and event["task"] == "stage:long"]
    assert event["reasons"] == ["recipe.filters[min-messages].messages: 2 -> 3"]
    assert len(event["key"]) == 64
    assert event["seconds"] >= 0
    assert lines[-1]["event"] == "end"
    assert lines[-1]["current"] == 3


@pytest.mark.slow
def test_a_failure_is_printed_once_and_its_dependents_are_skipped(project):
    edit(project, "messages = 2", "messages = 99")
    output = doit(project, code=1)
    assert "not tried: " in output
    assert "stage:good" in output.partition("not tried: ")[2]
    output = doit(project, "--continue", code=2)
    assert "not tried" not in output
    assert output.count("stage.long: train is empty: the filter 'min-messages' dropped") == 1
    assert "!  stage:good  skipped: stage:long failed" in output
    assert "1 failed" in output
    assert "2 skipped" in output
    assert (project / "data/long/train.jsonl").exists()
    failed = [event for event in events(project) if event["event"] == "failed"]
    assert all("train is empty" in event["error"] for event in failed)
    edit(project, "messages = 99", "messages = 2")
    assert doit(project).startswith("6 artifacts: 6 current")


@pytest.mark.slow
def test_two_concurrent_builds_build_each_target_once(project):
    shutil.rmtree(project / ".punie")
    shutil.rmtree(project / "data")
    builds = [
        subprocess.Popen([sys.executable, "-m", "doit"], cwd=project, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    outputs = [build.communicate(timeout=60)[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0]
    count = sum(event["event"] == "ran" for event in events(project))
    assert count == 6, outputs
    assert doit(project).startswith("6 artifacts: 6 current")


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [[], ["-n", "3"]])
def test_an_interrupted_build_prints_a_message_and_leaves_no_process(project, sign, arguments):
    edit(project, "max_examples = 40", "max_examples = 40000")
    build = subprocess.Popen(
        [sys.executable, "-m", "doit", *arguments],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert build.stdout
    assert build.stdout.readline() == ".  dataset:sample\n"
    time.sleep(0.3)
    build.send_signal(sign)
    _, error = build.communicate(timeout=20)
    assert build.returncode == 128 + sign
    assert error.strip() == "interrupted: finished artifacts are kept - build again to go on"
    edit(project, "max_examples = 40000", "max_examples = 40")
    assert doit(project).startswith("6 artifacts: 6 current")


@pytest.mark.slow
def test_a_dodo_file_may_have_recipes_in_python(tmp_path):
    (tmp_path / "dodo.py").write_text(
        "from punie_build.data.sources import Sample\n"
        "from punie_build.data.spec import Dataset\n"
        "from punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts\n"
        "FEW = Dataset(source=Sample(max_examples=20))\n"
        "def task_all():\n"
        "    yield from artifacts(recipes={'dataset': {'few': FEW}})\n"
    )
    assert ran(doit(tmp_path)) == {"dataset:few"}
    assert "[dataset.few]" in (tmp_path / "recipes/dodo.toml").read_text()
    assert doit(tmp_path).startswith("1 artifact: 1 current")
