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
        assert "model     nano   other names are refused" in "".join(output)
        [body] = re.findall(r"-d '(.*)'", output[-1])
        answer = httpx.post(f"{url}/chat/completions", json=json.loads(body) | {"max_tokens": 3}, timeout=60)
        assert answer.json()["choices"][0]["message"]["role"] == "assistant"
        assert answer.json()["model"] == "nano"
        assert [model["id"] for model in httpx.get(f"{url}/models").json()["data"]] == ["nano"]
        assert httpx.get(f"{url}/models/nano").json()["id"] == "nano"
        assert httpx.get(f"{url}/models/other").status_code == 404
        for change in ({"model": "other/model"}, {"adapters": str(tmp_path)}, {"draft_model": "x"}):
            refused = httpx.post(f"{url}/chat/completions", json=json.loads(body) | change, timeout=60)
            assert (refused.status_code, "'nano'" in refused.text) == (400, True)
        for header in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            for method, path in (("GET", "/models"), ("POST", "/chat/completions"), ("OPTIONS", "/chat/completions")):
                answer = httpx.request(method, f"{url}{path}", headers=header)
                assert (answer.status_code, "refused" in answer.text) == (403, True)
                assert "access-control-allow-origin" not in answer.headers
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


@pytest.mark.slow
def test_a_chat_on_a_pipe_has_answers_alone_on_its_output(tmp_path):
    lines = "Hello\n\n/new\nHello\n/exit\nnot asked\n"
    words = (*COMMAND, "chat", "nano", "--max-tokens", "8", "--system", "Be brief.")
    done = subprocess.run(words, cwd=tmp_path, input=lines, capture_output=True, text=True, timeout=120, check=True)
    first, second = done.stdout.splitlines()
    assert (first, bool(first)) == (second, True), "a new chat has no history"
    assert done.stderr == ""


@pytest.mark.slow
def test_ctrl_c_ends_a_chat_with_one_sentence(tmp_path):
    words = (*COMMAND, "chat", "nano", "--max-tokens", "4")
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdin.write("Hello\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read().strip() == "nano: the chat has ended"


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
