from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.cli import completion
from punie_build.cli.registry import MODULES
from tests.support.command import punie_build
from tests.support.project import create

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[adapter.small]
base = "nano"
data = "sample"

[suite.shop]
file = "suites/shop.toml"
"""
SUITE = """
[[case]]
id = "a"
prompt = "Say lamp."
checks = [{ type = "contains", words = ["lamp"] }]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return create(tmp_path_factory.mktemp("project"), RECIPE, {"suites/shop.toml": SUITE})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sche", ["schema"]),
        ("show ad", ["adapter:small"]),
        ("show sm", ["small"]),
        ("build --json adapter:small tok", ["tokens:sample@nano-assistant-2048"]),
        ("benchmark ", ["nano"]),
        ("suite ch", ["check"]),
        ("suite check sho", ["shop"]),
        ("chat sm", ["small"]),
        ("check --format gi", ["github"]),
        ("store g", ["gc"]),
        ("plan --js", ["--json"]),
        ("--vers", ["--version"]),
        ("eval --output ", []),
        ("unheard ", []),
    ],
)
def test_the_words_that_may_follow_are_printed(root, line, words):
    process = punie_build(root, "completion", "bash", "--line", f"punie-build {line}")
    assert process.stdout.split() == words


def test_every_command_is_completed(root):
    assert completion.candidates(root, [], "") == sorted(MODULES)


def test_recipes_with_mistakes_complete_no_name(tmp_path):
    root = create(tmp_path, "[adapter.small]\nbsae = 1\n")
    assert completion.candidates(root, ["show"], "") == []


SHELLS = {
    "bash": """
        source script
        COMP_LINE="punie-build show adapter:s" COMP_POINT=26
        _punie_build
        [ "${COMPREPLY[*]}" = small ] || exit 1
        COMP_LINE="punie-build sche" COMP_POINT=16
        _punie_build
        [ "${COMPREPLY[*]}" = schema ]
    """,
    "zsh": """
        compdef() { :; }; compadd() { shift; print -r -- $@; }
        source script
        words=(punie-build show adapter:s) CURRENT=3
        [ "$(_punie_build)" = adapter:small ]
    """,
    "fish": """
        source script
        test (complete -C "punie-build show adapter:s") = adapter:small
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_completes_in_the_shell(root, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(completion.SCRIPTS[shell])
    command = tmp_path / "punie-build"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m punie_build -C {root} "$@"\n')
    command.chmod(0o755)
    code = SHELLS[shell].replace("source script", f"export PATH={tmp_path}:$PATH; source {tmp_path}/script")
    process = subprocess.run([shell, "-c", code], cwd=root, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
