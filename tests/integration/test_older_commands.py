"""The commands of the older project, as they were written for it, with a Hub on loopback: docs/from-punie.md."""

from __future__ import annotations

import json
import re
from functools import reduce

import pytest

from punie_build.storage import paths
from punie_build.testing.fake_hub import COMMIT, FakeHub
from tests.support.command import program, punie_build
from tests.support.project import ROOT

BASE = "mlx-community/Qwen2.5-Coder-1.5B-Instruct-4bit"
CODE = [
    {
        "content": f"def add_{number}(a, b):\n    total = a + b\n    return total + {number}\n",
        "size": 40,
        "lang": "Python",
    }
    for number in range(40)
]
SHORTER = {"--max 1000": "--max 30", "--iters 100": "--iters 2", "--port 8080": "--no-server --max-tokens 2"}


def commands() -> list[str]:
    """Return the commands of the document, in order, as they ran with `punie`."""
    text = (ROOT / "docs/from-punie.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block
    lines = block[1].replace("\\\n", "").splitlines()
    return [line for line in lines if line.startswith("punie ")]


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "stack/data/python"
    folder.mkdir(parents=True)
    (folder / "part-0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CODE))
    with FakeHub({BASE: paths.nano()}, {"bigcode/the-stack-dedup": tmp_path / "stack"}) as hub:
        yield hub


@pytest.mark.slow
def test_the_commands_of_the_older_project_work_with_our_name(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    root = tmp_path / "work"
    root.mkdir()
    assert len(commands()) == 10
    outputs = {}
    for written in commands():
        line = reduce(lambda text, change: text.replace(*change), SHORTER.items(), written)
        needs_hub = " download " in line or "/" in line.partition("--model ")[2].split(" ")[0]
        done = (program if needs_hub else punie_build)(root, *line.split()[1:])  # the client reads HF_ENDPOINT once
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        outputs[line] = done.stdout + done.stderr
    written = [json.loads(row) for row in (root / "data/code/train.jsonl").read_text().splitlines()]
    assert {row["messages"][-1]["content"].strip() for row in written} <= {row["content"].strip() for row in CODE}
    assert len(written) > 20
    [trained] = [output for line, output in outputs.items() if line.startswith("punie train")]
    assert f"{BASE}@{COMMIT}" in trained
    assert (root / "adapters/v1/adapters.safetensors").exists()
    [report] = root.glob("eval-*/report.html")
    assert "baseline" in report.read_text()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("train", "rows.jsonl", "--model", "adapters/mine", "-o", "out"), "no base of this name"),
        (("eval", "--model", "adapters/mine"), "no base, adapter or model of the recipes"),
        (("dataset", "download", "adapters/mine", "-o", "out"), "no such file or folder"),
    ],
)
def test_a_path_in_a_folder_that_is_here_is_not_looked_up_in_the_hub(tmp_path, monkeypatch, command, problem):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "adapters").mkdir()
    (tmp_path / "rows.jsonl").write_text("{}\n")
    done = punie_build(tmp_path, *command)
    assert done.returncode == 2
    assert problem in done.stderr
