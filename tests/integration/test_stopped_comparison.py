"""A comparison that stops when it is decided: fewer questions, a valid verdict, and a cache that completes later."""

from __future__ import annotations

import json

import pytest

from punie_build.project import Project
from punie_build.storage import locks, paths
from punie_build.testing.fake_ollama import FakeOllama
from tests.support import project as projects
from tests.support.command import punie_build

CASES = 200
SUITE = 'split = "confirm"\n' + "".join(
    f'[[case]]\nid = "c{n}"\nprompt = "What is {n} + 1?"\nchecks = [{{ type = "contains", words = ["<{n + 1}>"] }}]\n'
    for n in range(CASES)
)
RECIPE = """
[endpoint.before]
url = "URL"
model = "weak"

[endpoint.after]
url = "URL"
model = "strong"

[suite.sums]
file = "suites/sums.toml"

[comparison.c]
arms = ["before", "after"]
suite = "sums"
stop = "decided"
gates = [{ metric = "after.low", min = 0 }, { metric = "asked", max = 50 }]
"""


def knows(share: int, factor: int):
    """Return a model that answers this share, in percent, of the sums right."""

    def answer(request):
        number = int(request["messages"][-1]["content"].split()[2])
        return f"<{number + 1}>" if number * factor % 100 < share else "I do not know."

    return answer


@pytest.fixture
def fake():
    with FakeOllama({"weak": knows(35, 37), "strong": knows(64, 61), "equal": knows(35, 61)}) as server:
        yield server


@pytest.mark.slow
def test_it_stops_when_it_is_decided_and_the_cache_completes_later(tmp_path, fake):
    project = projects.create(tmp_path, RECIPE.replace("URL", fake.url), {"suites/sums.toml": SUITE})
    Project.load(project).build("comparison:c")
    result = json.loads((project / "reports/c/comparison.json").read_bytes())
    stopped = result["stopped"]
    assert stopped["decided"]
    assert stopped["asked"] <= CASES / 4
    assert (result["verdict"], result["n"], stopped["cases"]) == ("improved", stopped["asked"], CASES)
    assert len(fake.requests) == 2 * stopped["asked"]
    [delta] = result["deltas"]
    assert 0 < delta["low"] < delta["difference"] < delta["high"]
    metrics = locks.read(project / "reports/c.lock.json").metrics
    assert metrics["asked"] == stopped["asked"]
    assert metrics["after.low"] == delta["low"]
    shown = punie_build(project, "show", "comparison:c")
    assert "improved" in shown.stdout, shown.stderr
    assert punie_build(project, "check", "--outputs", "--conformance", "--gate").returncode == 0
    assert punie_build(project, "report", "comparison:c").returncode == 0
    page = (project / paths.page("comparison", "c")).read_text()
    assert f"Decided after {stopped['asked']} of {CASES} cases" in page
    projects.edit(project, 'stop = "decided"\n', "")
    projects.edit(project, ', { metric = "asked", max = 50 }', "")
    Project.load(project).build("comparison:c")
    assert len(fake.requests) == 2 * CASES, "what was asked is not asked again"


@pytest.mark.slow
def test_equal_arms_are_asked_to_the_end_and_not_declared_different(tmp_path, fake):
    recipe = RECIPE.replace("URL", fake.url).replace('"strong"', '"equal"').partition("gates = ")[0]
    project = projects.create(tmp_path, recipe, {"suites/sums.toml": SUITE})
    lock = Project.load(project).build("comparison:c")
    assert lock.metrics["asked"] == CASES
    assert lock.metrics["after.low"] <= 0 <= lock.metrics["after.high"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"before", "after"', '"before", "after", "nano"'), "'stop' decides between two arms"),
        (('stop = "decided"', 'stop = "never"'), "never"),
        (('stop = "decided"', 'stop = "decided"\nparity = true'), "'stop' decides between two arms"),
        (('model = "strong"', 'model = "strong"\n[answers.after2]\npath = "a.jsonl"'), ""),
    ],
)
def test_what_cannot_be_stopped_is_a_mistake_of_the_recipe(tmp_path, change, problem):
    project = projects.create(
        tmp_path, RECIPE.replace("URL", "http://localhost:1"), {"suites/sums.toml": SUITE, "a.jsonl": "{}\n"}
    )
    projects.edit(project, *change)
    if not problem:
        projects.edit(project, '["before", "after"]', '["before", "after2"]')
        problem = "stop: the answers of after2 exist, no question is saved - remove it"
    assert problem in punie_build(project, "plan").stderr
