"""The commands `serve` and `eval`, each in a process of its own, with the real nano."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from punie_build.cli.evaluate import find_model
from punie_build.errors import UseError
from punie_build.storage import paths

COMMAND = [sys.executable, "-m", "punie_build"]
SUITE = """
[[case]]
id = "hello"
category = "words"
prompt = "Hello"
checks = [{ type = "no-call" }]
"""


def punie_build(root: Path, *words: str) -> str:
    process = subprocess.run([*COMMAND, *words], cwd=root, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
def test_a_model_is_evaluated_without_a_recipe_and_no_request_is_sent_twice(tmp_path):
    (tmp_path / "few.toml").write_text(SUITE)
    words = ("eval", "--model", "nano", "--no-server", "--suite", "few.toml", "--output", "out", "--max-tokens", "8")
    output = punie_build(tmp_path, *words)
    assert re.search(r"nano on few: [01] of 1 cases passed \(canary [0-9a-f]{12}\)\n    words +[01] of 1", output)
    assert "1 request sent" in output
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(first) == {"accepted.jsonl", "answers.jsonl", "proof.json", "report.html", "scores.json"}
    assert b"By category" in first["report.html"]
    assert "0 requests sent" in punie_build(tmp_path, *words)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
    (tmp_path / "other.toml").write_text(SUITE)
    words = ("eval", "--model", "nano", "--no-server", "--suite", "other.toml", "--output", "out", "--max-tokens", "8")
    process = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (process.returncode, process.stderr) == (
        2,
        "out: has the results of nano on few, not of nano on other - choose another --output, or remove the folder\n",
    )


@pytest.mark.slow
def test_a_model_is_served_until_ctrl_c(tmp_path):
    with subprocess.Popen([*COMMAND, "serve", "nano"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        output = [process.stdout.readline() for _ in range(6)]
        [url] = re.findall(r"base_url +(http://127\.0\.0\.1:\d+/v1)", "".join(output))
        assert "model     default_model" in "".join(output)
        [body] = re.findall(r"-d '(.*)'", output[-1])
        answer = httpx.post(f"{url}/chat/completions", json=json.loads(body) | {"max_tokens": 3}, timeout=60)
        assert answer.json()["choices"][0]["message"]["role"] == "assistant"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


def test_an_unknown_model_is_an_error_that_names_known_ones(tmp_path, recipes):
    root = recipes("[adapter.v]\nbase = 'nano'\ndata = 'hand-authored'\n")
    with pytest.raises(UseError, match=r"adapter:v: not built - `doit adapter:v`"):
        find_model(root, "v")
    with pytest.raises(UseError, match=r"nanno: no base, adapter or model of the recipes, .* - did you mean 'nano'\?"):
        find_model(root, "nanno")
    with pytest.raises(UseError, match=r"x: no adapter in this folder, adapter_config.json missing"):
        find_model(root, "nano", "x")
    assert find_model(root, "nano").model == paths.nano()
    os.symlink(paths.nano(), root / "copy")
    assert find_model(root, "copy").model == root / "copy"
