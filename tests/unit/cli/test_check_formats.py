"""The formats of the results of `check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from punie_build.cli import check_formats
from punie_build.engine.check import ArtifactCheck
from punie_build.project import Project
from punie_build.storage import locks
from punie_build.storage.locks import KeyInputs, Lock
from tests.support.command import punie_build

RESULTS = [
    ArtifactCheck(label="dataset:d", level="recipes", state="current", file="recipes/test.toml"),
    ArtifactCheck(
        label="stage:s", level="recipes", state="stale", lines=("a: 1 -> 2", "b: 3 -> 4"), file="recipes/test.toml"
    ),
    ArtifactCheck(
        label="dataset:d", level="outputs", state="unseen", lines=("data/d is not here",), file="recipes/test.toml"
    ),
    ArtifactCheck(
        label="stage:s", level="outputs", state="broken", lines=("data/s/x: missing",), file="recipes/test.toml"
    ),
]
HOSTILE_TEXT = (
    "nul \x00 bell \x07 escape \x1b[31m line\n"
    'return\r half \ud800 ends ]]> <tag> & "quoted" ::error::x 100%, a:b \ufffe ほ'
)


def hostile_result(level: str = "outputs") -> ArtifactCheck:
    return ArtifactCheck(
        label="stage:s", level=level, state="broken", lines=(HOSTILE_TEXT, HOSTILE_TEXT), file="recipes/test.toml"
    )


# text


def test_text_prints_problems_and_counts_by_state(tmp_path):
    assert check_formats.text(tmp_path, RESULTS).splitlines() == [
        "STALE   stage:s  (recipes)",
        "          a: 1 -> 2",
        "          b: 3 -> 4",
        "BROKEN  stage:s  (outputs)",
        "          data/s/x: missing",
        "recipes: 1 current, 1 stale",
        "outputs: 1 not here or nothing to check, 1 broken",
    ]
    assert check_formats.text(tmp_path, []) == "no artifacts"


# json


def test_json_holds_the_worst_state_and_every_result(tmp_path):
    output = json.loads(check_formats.json(tmp_path, RESULTS))
    assert output["state"] == "broken"
    assert output["findings"][1] == {
        "label": "stage:s",
        "level": "recipes",
        "state": "stale",
        "lines": ["a: 1 -> 2", "b: 3 -> 4"],
        "file": "recipes/test.toml",
        "table": ["", ""],
        "target": "",
    }
    assert len(output["findings"]) == 4
    assert json.loads(check_formats.json(tmp_path, [])) == {"state": "current", "findings": []}


# junit


def test_junit_counts_failures_and_skipped_cases(tmp_path):
    suites = ET.fromstring(check_formats.junit(tmp_path, RESULTS))
    assert [
        (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in suites
    ] == [
        ("recipes", "2", "1", "0"),
        ("outputs", "2", "1", "1"),
    ]
    assert [case.get("name") for case in suites.iter("testcase")] == ["dataset:d", "stage:s"] * 2
    first, second = suites.iter("failure")
    assert (first.get("type"), first.get("message"), first.text) == ("stale", "a: 1 -> 2", "a: 1 -> 2\nb: 3 -> 4")
    assert second.get("type") == "broken"
    [skipped] = suites.iter("skipped")
    assert skipped.get("message") == "data/d is not here"


def test_control_characters_and_markup_are_inert_in_junit(tmp_path):
    text = check_formats.junit(tmp_path, [hostile_result()])
    text.encode()
    [failure] = ET.fromstring(text).iter("failure")
    assert 'nul ? bell ? escape ?[31m line\nreturn? half ? ends ]]> <tag> & "quoted"' in str(failure.text)
    assert str(failure.text).endswith("a:b ? ほ")
    assert len(list(ET.fromstring(text).iter())) == 4


# github


RECIPE = """# a comment
[dataset.plain]  # [stage.fake]
source = { type = "sample" }

  [ dataset . "quoted" ]
source = { type = "sample" }

[stage.plain-en]
from = "plain"
filters = [{ type = "min-messages" }]
[stage.'plain.en']
from = "plain"
filters = [{ type = "min-messages" }]

[adapter]
v1 = { base = "nano", data = "plain" }

[adapter.v2.lora]
rank = 4
[adapter.v2]
base = "nano"
data = "plain"

[comparison.other]
arms = ["nano", "v2"]
suite = "tool-calling"

[comparison.v1]
arms = ["nano", "v1"]
suite = "tool-calling"
"""
LINES = {
    "dataset:plain": 2,
    "dataset:quoted": 5,
    "stage:plain-en": 8,
    "stage:plain.en": 11,
    "tokens:plain@nano-assistant-2048": 16,  # the first adapter that needs them
    "preflight:plain@nano": 16,
    "adapter:v1": 16,
    "adapter:v2": 18,
    "answers:nano@tool-calling": 24,
    "eval:nano@tool-calling": 24,
    "answers:v2@tool-calling": 24,
    "eval:v2@tool-calling": 24,
    "comparison:other": 24,
    "answers:v1@tool-calling": 28,
    "eval:v1@tool-calling": 28,
    "comparison:v1": 28,
}


def test_an_annotation_is_on_the_line_of_its_table(recipes):
    root = recipes(RECIPE)
    results = Project.load(root).check(["recipes"])
    marks = dict(zip((each.label for each in results), check_formats.github(root, results).splitlines(), strict=False))
    assert set(marks) == set(LINES)
    for label, line in LINES.items():
        escaped = label.replace(":", "%3A")
        assert marks[label].startswith(
            f"::error file=recipes/test.toml,line={line},title={escaped} is stale::never built"
        )


def test_an_artifact_without_a_recipe_is_annotated_on_its_lock(recipes):
    root = recipes("dataset.top.source = { type = 'sample' }\n[mix.m]\nfrom = ['hand-authored', 'top']\n")
    (root / "data").mkdir()
    (root / "data" / "old.lock.json").write_text("{}")
    output = check_formats.github(root, Project.load(root).check(["recipes"])).splitlines()
    assert [line.partition(",title")[0] for line in output if line.startswith("::")] == [
        "::error file=recipes/test.toml,line=1",
        "::error file=data/hand-authored.lock.json,line=1",
        "::error file=recipes/test.toml,line=2",
        "::error file=data/old.lock.json,line=1",
    ]


def test_special_characters_of_a_workflow_command_are_escaped(tmp_path):
    finding = ArtifactCheck(
        label="stage:a,b%c", level="outputs", state="broken", lines=("50%", "a::b, c"), file="re,ci:pe.toml"
    )
    (tmp_path / "re,ci:pe.toml").write_text("")
    mark, *text = check_formats.github(tmp_path, [finding]).splitlines()
    assert mark == "::error file=re%2Cci%3Ape.toml,line=1,title=stage%3Aa%2Cb%25c is broken::50%25%0Aa::b, c"
    assert "\n".join(text) == check_formats.text(tmp_path, [finding])


def test_no_value_of_a_lock_or_a_recipe_becomes_a_workflow_command(recipes):
    """GitHub obeys any line that begins with `::`, after blanks."""
    root = recipes("[dataset.d]\nsource = { type = 'local', path = \"x\\n::stop-commands::y\" }")
    facts = KeyInputs(kind="dataset", recipe={"a\n::error::b": "c\n::error::d"}, code="", inputs={}, tools={})
    (root / "data").mkdir()
    lock = Lock(key=facts.key, key_inputs=facts, outputs={"train.jsonl": "0" * 64}, metrics={}, seconds=1.0)
    locks.write(root / "data/d.lock.json", lock)
    output = check_formats.github(root, Project.load(root).check(["recipes"]))
    commands = [line for line in output.splitlines() if line.strip().startswith("::")]
    assert [line.partition(",")[0] for line in commands] == ["::error file=recipes/test.toml"]
    assert r"recipe.a\n::error::b: c\n::error::d -> (none)" in output
    assert r"x\n::stop-commands::y" in output


def test_results_without_problems_give_no_annotation(tmp_path):
    assert check_formats.github(tmp_path, RESULTS[:1]) == "recipes: 1 current"


# the command


def check(root: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return punie_build(root, "check", *options, **environment)


@pytest.fixture
def unbuilt(recipes) -> Path:
    return recipes("[dataset.d]\nsource = { type = 'sample' }")


@pytest.mark.slow
def test_github_is_the_default_format_in_github_actions(unbuilt):
    assert check(unbuilt).stdout.startswith("STALE   dataset:d")
    assert check(unbuilt, GITHUB_ACTIONS="true").stdout.startswith("::error file=recipes/test.toml,line=1,")
    assert check(unbuilt, "--format", "text", GITHUB_ACTIONS="true").stdout.startswith("STALE   dataset:d")


@pytest.mark.slow
def test_into_writes_the_format_to_a_file_and_prints_the_text(unbuilt):
    process = check(unbuilt, "--format", "junit", "--into", "check.xml", GITHUB_ACTIONS="true")
    assert process.returncode == 1
    assert process.stdout.startswith("::error file=recipes/test.toml,line=1,")
    assert len(list(ET.parse(unbuilt / "check.xml").iter("failure"))) == 1
    check(unbuilt, "--format", "json", "--into", "check.json")
    assert json.loads((unbuilt / "check.json").read_text())["state"] == "stale"
    refused = check(unbuilt, "--format", "json", "--into", "nowhere/check.json")
    assert (refused.returncode, refused.stderr) == (
        2,
        (
            "nowhere/check.json: No such file or directory"
            " - it was removed meanwhile, or is a link to nowhere: put it back\n"
        ),
    )


def test_a_character_that_the_terminal_cannot_encode_is_escaped(recipes):
    root = recipes("[dataset.d]\nsource = { type = 'local', path = 'ほ' }")
    (root / "data").mkdir()
    (root / "data" / "ほ.lock.json").write_text("{}")
    command = [sys.executable, "-m", "punie_build", "check"]
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = subprocess.run(command, cwd=root, capture_output=True, text=True, env=variables)
    assert process.returncode == 1
    assert r"data/\u307b.lock.json" in process.stdout
