"""Serving and evaluating by hand, as people do: whole processes and the real nano."""

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

from punie_build.cli.evaluate import find
from punie_build.errors import UseError
from punie_build.storage import paths

COMMAND = [sys.executable, "-c", "from punie_build.cli.main import main; main()"]
SUITE = """
[[case]]
id = "hello"
category = "words"
prompt = "Hello"
checks = [{ type = "no-call" }]
"""


def punie_build(root: Path, *words: str) -> str:
    done = subprocess.run([*COMMAND, *words], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_model_is_evaluated_without_a_recipe_and_nothing_is_asked_twice(tmp_path):
    (tmp_path / "few.toml").write_text(SUITE)
    words = ("eval", "--model", "nano", "--no-server", "--suite", "few.toml", "--output", "out", "--max-tokens", "8")
    said = punie_build(tmp_path, *words)
    assert re.search(r"nano on few: [01] of 1 cases passed \(canary [0-9a-f]{12}\)\n    words +[01] of 1", said)
    assert "1 questions asked" in said
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(first) == {"answers.jsonl", "proof.json", "report.html", "scores.json"}
    assert b"By category" in first["report.html"]
    assert "0 questions asked" in punie_build(tmp_path, *words)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


@pytest.mark.slow
def test_an_arm_is_served_until_ctrl_c(tmp_path):
    with subprocess.Popen([*COMMAND, "serve", "nano"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(6)]
        [url] = re.findall(r"base_url +(http://127\.0\.0\.1:\d+/v1)", "".join(said))
        assert "model     default_model" in "".join(said)
        [body] = re.findall(r"-d '(.*)'", said[-1])
        answer = httpx.post(f"{url}/chat/completions", json=json.loads(body) | {"max_tokens": 3}, timeout=60)
        assert answer.json()["choices"][0]["message"]["role"] == "assistant"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


def test_who_is_not_there_is_told_with_who_is(tmp_path, recipes):
    root = recipes("[adapter.v]\nbase = 'nano'\ndata = 'hand-authored'\n")
    with pytest.raises(UseError, match=r"v: no adapter there|adapter:v: not made yet - `doit adapter:v`"):
        find(root, "v", None)
    with pytest.raises(UseError, match=r"nanno: nothing to serve is called so.* - did you mean 'nano'\?"):
        find(root, "nanno", None)
    with pytest.raises(UseError, match=r"x: no adapter there, adapters.safetensors, adapter_config.json missing"):
        find(root, "nano", "x")
    assert find(root, "nano", None).model == paths.nano()
    os.symlink(paths.nano(), root / "copy")
    assert find(root, "copy", None).model == root / "copy"
