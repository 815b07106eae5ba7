"""doit over data recipes: what a person sees and can do. Training and serving are in test_end_to_end.py."""

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


def made(project: Path) -> dict[Path, bytes]:
    return {path.relative_to(project): path.read_bytes() for path in sorted((project / "data").glob("*/*"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    project = create(tmp_path_factory.mktemp("project"), RECIPE)
    assert ran(doit(project)) == ALL
    return project


def test_what_is_current_is_counted_and_nothing_is_left_at_the_root(project):
    assert doit(project).startswith("6 artifacts: 6 current")
    here = {path.name for path in project.iterdir()} - {"__pycache__"}
    assert here == {".punie", "data", "dodo.py", "recipes", "reports"}


def test_the_reasons_come_before_the_work_and_what_is_cut_off_is_said(project):
    edit(project, "messages = 2", "messages = 1")
    edit(project, '"content-quality"', '"content-quality", min_chars = 1')
    output = doit(project)
    assert ".  stage:long\n   because recipe.filters[min-messages].messages: 2 -> 1\n" in output
    edit(project, '"ends-with-assistant"', '"ends-with-assistant" }, { type = "min-messages", messages = 1')
    assert "because recipe.filters[min-messages]: (none) -> {'type': 'min-messages', 'messages': 1}" in doit(project)
    doit(project, "forget", "stage:good")
    output = doit(project)
    assert "=  mix:all  what it is made from came out the same" in output
    assert re.search(r"^6 artifacts: 1 ran, 1 cut off, 4 current  \(", output, re.MULTILINE)


def test_list_status_knows_what_lies_behind_a_change(project):
    assert set(statuses(project).values()) == {"U"}
    edit(project, "messages = 2", "messages = 3")
    now = statuses(project)
    assert {label for label in ALL if now[label] == "R"} == {"stage:long", "stage:good", "mix:all"}
    assert (now["stage"], now["dataset"]) == ("R", "U")


def test_forget_makes_again_and_does_not_restore(project):
    assert "forgetting stage:good" in doit(project, "forget", "stage:good")
    assert statuses(project)["stage:good"] == "R"
    output = doit(project)
    assert ran(output) == {"stage:good"}
    assert "because it was forgotten" in output
    assert doit(project).startswith("6 artifacts: 6 current")
    doit(project, "forget", "--all")
    assert ran(doit(project)) == ALL


def test_clean_removes_targets_keeps_locks_and_the_next_build_restores(project):
    kept = made(project)
    locks = sorted((project / "data").glob("*.lock.json"))
    doit(project, "clean", "-a")
    assert made(project) == {}
    assert sorted((project / "data").glob("*.lock.json")) == locks
    output = doit(project)
    assert output.count("restored from the store") == 6
    assert made(project) == kept


def test_clean_of_one_removes_one(project):
    doit(project, "clean", "stage:other")
    assert not (project / "data/other").exists()
    assert (project / "data/good").exists()


def test_clean_with_forget_makes_again(project):
    doit(project, "clean", "--forget", "stage:other")
    output = doit(project)
    assert ran(output) == {"stage:other"}
    assert "restored" not in output


def test_ignore_lasts_until_it_is_forgotten(project):
    doit(project, "ignore", "stage:other")
    shutil.rmtree(project / "data/other")
    assert "!! stage:other  ignored" in doit(project)
    assert not (project / "data/other").exists()
    doit(project, "forget", "stage:other")
    assert ran(doit(project)) == {"stage:other"}


def test_always_makes_what_is_current(project):
    assert ran(doit(project, "-a", "stage:other")) == {"dataset:sample", "stage:other"}


def test_several_at_a_time_give_the_same_bytes_and_a_log_each(project):
    kept = made(project)
    shutil.rmtree(project / ".punie")
    shutil.rmtree(project / "data")
    output = doit(project, "-n", "4")
    assert ran(output) == ALL
    assert made(project) == kept
    edit(project, "messages = 2", "messages = 3")
    doit(project, "-n", "4")
    log = (project / ".punie/logs/data/long/build.log").read_text()
    assert log == "because recipe.filters[min-messages].messages: 2 -> 3\n"


def test_a_program_can_follow_what_happens(project):
    (project / ".punie/events.jsonl").unlink()
    edit(project, "messages = 2", "messages = 3")
    doit(project)
    told = events(project)
    assert (told[0]["event"], told[0]["tasks"]) == ("start", 6)
    [event] = [event for event in told if event["event"] == "ran" and event["task"] == "stage:long"]
    assert event["reasons"] == ["recipe.filters[min-messages].messages: 2 -> 3"]
    assert len(event["key"]) == 64
    assert event["seconds"] >= 0
    assert told[-1]["event"] == "end"
    assert told[-1]["current"] == 3


def test_a_failure_is_told_once_and_what_needs_it_is_not_tried(project):
    edit(project, "messages = 2", "messages = 99")
    output = doit(project, "--continue", code=2)
    assert output.count("stage.long: train is empty: the filter 'min-messages' dropped") == 1
    assert "!  stage:good  not tried: stage:long failed" in output
    assert "1 failed" in output
    assert "2 not tried" in output
    assert (project / "data/long/train.jsonl").exists()
    [event] = [event for event in events(project) if event["event"] == "failed"]
    assert "train is empty" in event["error"]
    edit(project, "messages = 99", "messages = 2")
    assert doit(project).startswith("6 artifacts: 6 current")


def test_two_builds_at_once_make_each_target_once(project):
    shutil.rmtree(project / ".punie")
    shutil.rmtree(project / "data")
    both = [
        subprocess.Popen([sys.executable, "-m", "doit"], cwd=project, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    outputs = [build.communicate(timeout=60)[0] for build in both]
    assert [build.returncode for build in both] == [0, 0]
    count = sum(event["event"] == "ran" for event in events(project))
    assert count == 6, outputs
    assert doit(project).startswith("6 artifacts: 6 current")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [[], ["-n", "3"]])
def test_an_interrupted_build_says_so_and_leaves_nobody(project, sign, arguments):
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
    assert error.strip() == "interrupted: what was finished is kept - build again to go on"
    edit(project, "max_examples = 40000", "max_examples = 40")
    assert doit(project).startswith("6 artifacts: 6 current")


def test_a_dodo_file_may_describe_tasks_of_its_own(tmp_path):
    """What people who write Python use: `described` with their own Task values and steps."""
    (tmp_path / "in.txt").write_text("hello")
    (tmp_path / "dodo.py").write_text(
        "from pathlib import Path\n"
        "from punie_build.engine.work import StepResult\n"
        "from punie_build.doit_plugin.tasks import DOIT_CONFIG, described\n"
        "from punie_build.engine.task import Task\n"
        "def shout(work):\n"
        "    text = (work.root / work.task.inputs[0]).read_text()\n"
        "    (work.out / 'out.txt').write_text(text.upper())\n"
        "    return Made('shouted', {'letters': len(text)})\n"
        "TASK = Task(kind='stage', name='shout', doc='', target='data/shout', spec=None, config={}, inputs=('in.txt',))\n"
        "def task_all():\n"
        "    yield from described(Path.cwd(), [TASK], {'stage': shout})\n"
    )
    assert "shouted" in doit(tmp_path)
    assert (tmp_path / "data/shout/out.txt").read_text() == "HELLO"
    assert doit(tmp_path).startswith("1 artifacts: 1 current")
