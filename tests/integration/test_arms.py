"""Arms without weights in a project: an endpoint, answers that exist, and variants, compared with a verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from punie_build.storage import locks, paths
from punie_build.testing.fake_ollama import FakeOllama
from tests.support import project as projects
from tests.support.command import punie_build
from tests.support.doit_runner import doit

KEY = "sk-of-the-test-0123456789"
CASES = 24
SUITE = 'split = "confirm"\n' + "".join(
    f'[[case]]\nid = "c{n}"\nprompt = "What is {n} + 1?"\nchecks = [{{ type = "contains", words = ["<{n + 1}>"] }}]\n'
    for n in range(CASES)
)
RECIPE = """
[endpoint.local]
url = "URL"
model = "tiny"
api_key_env = "PUNIE_TEST_KEY"

[variant.terse]
arm = "local"
system = "Answer in one word."
sampling = { temperature = 0.5 }

[answers.before]
path = "logs/before.jsonl"

[suite.sums]
file = "suites/sums.toml"

[comparison.c]
arms = ["before", "local", "terse"]
suite = "sums"
"""


def model(request):
    """Answer right if it is told to be terse, else for even numbers only."""
    number = int(request["messages"][-1]["content"].split()[2])
    terse = request["messages"][0]["role"] == "system"
    assert request["temperature"] == (0.5 if terse else 0)
    return f"<{number + 1}>" if terse or number % 2 == 0 else "I do not know."


def recorded(passes: int) -> str:
    rows = [{"sample_id": f"c{n}", "output": f"<{n + 1}>" if n < passes else "no"} for n in range(CASES)]
    return "".join(json.dumps(row) + "\n" for row in [*rows, {"sample_id": "other", "output": "x"}])


@pytest.fixture
def fake():
    with FakeOllama({"tiny": model}, key=KEY) as server:
        yield server


@pytest.mark.slow
def test_endpoints_answers_and_variants_are_compared_and_marked(tmp_path, fake):
    files = {"suites/sums.toml": SUITE, "logs/before.jsonl": recorded(6)}
    project = projects.create(tmp_path, RECIPE.replace("URL", fake.url), files)
    output = doit(project, PUNIE_TEST_KEY=KEY)
    assert "logs/before.jsonl: 1 id of no case of the suite: other" in output
    assert "terse improved on before" in output
    assert "identity not proven: before, local, terse" in output
    metrics = locks.read(project / "reports/c.lock.json").metrics
    assert metrics["unproven_identity"] == 3
    assert (metrics["before.share"], metrics["local.share"], metrics["terse.share"]) == (0.25, 0.5, 1.0)
    assert locks.read(project / "reports/local@sums@answers.lock.json").metrics["unproven_identity"] == 1
    page = (project / paths.page("comparison", "c")).read_text()
    assert "terse (identity not proven)" in page
    assert len(fake.requests) == 2 * CASES
    for path in project.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert "identity not proven" in punie_build(project, "show", "comparison:c").stdout
    assert doit(project).count("asked") == 0, "current without a key"
    assert len(fake.requests) == 2 * CASES


def test_tokens_seconds_and_attempts_are_metrics_for_gates(tmp_path, fake):
    gates = 'gates = [{ metric = "tokens", max = 4 }, { metric = "pass@2", min = 0.9 }, { metric = "pass^2", max = 1 }]'
    recipe = RECIPE.replace("URL", fake.url).partition("[comparison.c]")[0] + (
        '[suite.both]\nparts = [{ file = "suites/sums.toml", weight = 2 }, { embedded = "baseline" }]\n'
        '[eval.e]\narm = "terse"\nsuite = "sums"\nepochs = 2\nmeasure = true\nsampling = { temperature = 0.5 }\n'
    )
    files = {"suites/sums.toml": SUITE, "logs/before.jsonl": recorded(6)}
    project = projects.create(tmp_path, recipe + gates, files)
    doit(project, "eval:e", PUNIE_TEST_KEY=KEY)
    metrics = locks.read(project / "reports/e.lock.json").metrics
    assert (metrics["tokens"], metrics["pass@2"], metrics["pass^2"]) == (1, 1, 1)
    assert 0 < metrics["seconds"] <= metrics["seconds_p95"] < 5
    assert "generated tokens" in (project / paths.page("eval", "e")).read_text()
    assert punie_build(project, "check", "--gate").returncode == 0
    projects.edit(project, "measure = true", "")
    projects.edit(project, "epochs = 2", "epochs = 1")
    projects.edit(project, 'suites/sums.toml", weight', '../sums.toml", weight')
    problems = punie_build(project, "plan").stderr
    assert "suite.both.parts[0].file: '../sums.toml' leaves the project" in problems
    projects.edit(project, "../sums.toml", "suites/sums.toml")
    problems = punie_build(project, "plan").stderr
    assert "'tokens' is not measured - set `measure = true`" in problems
    assert "'pass@2' needs 2 answers to a case - raise `epochs`" in problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("[comparison.c]", '[eval.e]\narm = "local"\nsuite = "sums"\nengine = "batch"\n[comparison.c]'),
            "no effect on",
        ),
        (('arm = "local"', 'arm = "before"'), "cannot be asked in another way"),
        (('system = "Answer in one word."\nsampling = { temperature = 0.5 }', ""), "changes nothing"),
        (('[answers.before]\npath = "logs/before.jsonl"', "[answers.before]"), "answers.before.path: missing"),
    ],
)
def test_mistakes_of_arms_are_found_before_a_build(tmp_path, change, problem):
    files = {"suites/sums.toml": SUITE, "logs/before.jsonl": recorded(6)}
    project = projects.create(tmp_path, RECIPE.replace("URL", "http://127.0.0.1:9"), files)
    projects.edit(project, *change)
    result = punie_build(project, "plan")
    assert result.returncode == 3
    assert problem in result.stderr


def test_a_missing_file_of_answers_is_one_sentence(tmp_path):
    recipe = RECIPE.replace("URL", "http://127.0.0.1:9")
    project = projects.create(tmp_path, recipe, {"suites/sums.toml": SUITE})
    assert punie_build(project, "plan").returncode == 1, "CI has the recipes alone"
    assert "logs/before.jsonl" in doit(project, "answers:before@sums", code=1)


def test_an_arm_without_weights_is_not_served(tmp_path):
    files = {"suites/sums.toml": SUITE, "logs/before.jsonl": recorded(6)}
    project = projects.create(tmp_path, RECIPE.replace("URL", "http://127.0.0.1:9"), files)
    for name in ("local", "before", "terse"):
        result = punie_build(project, "serve", name)
        assert (result.returncode, "no weights that could be loaded" in result.stderr) == (2, True)


def test_the_page_of_answers_says_that_no_weights_were_verified(tmp_path, fake):
    files = {"suites/sums.toml": SUITE, "logs/before.jsonl": recorded(6)}
    project = projects.create(tmp_path, RECIPE.replace("URL", fake.url), files)
    doit(project, "answers:before@sums")
    assert "no weights were verified" in (project / paths.page("answers", "before@sums")).read_text()


@pytest.mark.slow
def test_the_loss_of_a_base_is_an_artifact_with_gates(tmp_path):
    table = '[perplexity.nano]\narm = "nano"\ndata = "sample"\nsplit = "valid"\n'
    project = projects.create(tmp_path, projects.SAMPLE + table + 'gates = [{ metric = "loss", max = 20 }]\n')
    assert "perplexity" in doit(project, "perplexity:nano")
    metrics = locks.read(project / "reports/nano@perplexity.lock.json").metrics
    assert 0 < metrics["loss"] < 20
    assert punie_build(project, "check", "--gate").returncode == 0
    assert "loss" in punie_build(project, "show", "perplexity:nano").stdout
    assert (project / paths.page("perplexity", "nano")).exists()


def test_a_chat_with_an_endpoint_is_marked_and_shows_no_key(tmp_path, fake):
    project = projects.create(tmp_path, RECIPE.replace("URL", fake.url), {"suites/sums.toml": SUITE})

    def chat(arm: str, lines: str, key: str = KEY):
        words = (sys.executable, "-m", "punie_build", "chat", arm, "--max-tokens", "9")
        env = os.environ | {"PUNIE_TEST_KEY": key}
        return subprocess.run(words, cwd=project, input=lines, env=env, capture_output=True, text=True, timeout=60)

    done = chat("terse", "What is 4 + 1?\nWhat is 5 + 1?\n/new\nWhat is 6 + 1?\n")
    assert (done.stdout.splitlines(), done.returncode) == (["<5>", "<6>", "<7>"], 0)
    assert done.stderr == f"terse: identity not proven, answered by {fake.url}\n"
    assert [len(body["messages"]) for body in fake.requests] == [2, 4, 2]
    assert {body["max_tokens"] for body in fake.requests} == {9}
    refused = chat("local", "What is 4 + 1?\n", key="sk-wrong-0000000000")
    assert refused.returncode == 2
    assert "answered 401" in refused.stderr
    assert "sk-wrong" not in refused.stderr + refused.stdout
    garbage = chat("local", "!garbage x\n")
    assert (garbage.returncode, "Traceback" in garbage.stderr) == (0, False)
