"""The command `pin`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from punie_build.cli.pin import pinned
from punie_build.storage import paths
from punie_build.testing.fake_hub import COMMIT, FakeHub

RECIPE = """\
# mine
[base.other]
hub = "me/other"
revision = "1111111111111111111111111111111111111111"

[base.b] # a comment
hub = "me/nano"   # where it is
description = "x"

[dataset.d]
source = { type = "sample" }
"""


def test_a_revision_is_written_below_the_hub_and_nothing_else_changes():
    expected = RECIPE.replace("# where it is\n", f'# where it is\nrevision = "{COMMIT}"\n')
    assert pinned(RECIPE, "b", COMMIT) == expected
    assert pinned(expected, "b", "f" * 40) == expected.replace(COMMIT, "f" * 40)
    assert pinned(RECIPE, "other", COMMIT) == RECIPE.replace("1" * 40, COMMIT)
    assert pinned('[base."x.y"]\nhub = "a/b"', "x.y", COMMIT) == f'[base."x.y"]\nhub = "a/b"\nrevision = "{COMMIT}"'


@pytest.mark.slow
def test_the_latest_commit_is_pinned(tmp_path):
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes/r.toml"
    recipe.write_text(RECIPE)
    (tmp_path / "dodo.py").touch()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "punie_build", "pin", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)

    with FakeHub({"me/nano": paths.nano()}) as hub:
        done = run("b")
        assert (done.returncode, done.stdout) == (0, f'recipes/r.toml: base.b: revision = "{COMMIT}" (new)\n')
        assert f'revision = "{COMMIT}"' in recipe.read_text()
        assert "(unchanged)" in run("b").stdout
        assert "did you mean 'other'?" in run("othr").stderr
        assert "me/other@main: " in run("other").stderr
