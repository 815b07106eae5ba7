"""What `punie-build plan` tells of bases: damaged files, and drafts of another vocabulary, before anything runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from punie_build.storage import paths
from tests.support.command import punie_build
from tests.support.project import create

RECIPE = """
[base.other]
path = "other"

[suite.s]
file = "s.toml"

[eval.e]
arm = "nano"
suite = "s"
serving = { draft = "other" }

[eval.of-other]
arm = "other"
suite = "s"
"""
SUITE = "[[case]]\nid = 'a'\ncategory = 'c'\nprompt = 'x'\nchecks = [{ type = 'no-call' }]\n"


def test_a_draft_of_another_vocabulary_and_a_damaged_base_are_errors_of_the_plan(tmp_path):
    create(tmp_path, RECIPE, {"s.toml": SUITE})
    shutil.copytree(paths.nano(), tmp_path / "other", ignore=shutil.ignore_patterns("*.py", "*.md"))
    assert "error" not in plan(tmp_path, 1)
    path = tmp_path / "other" / "tokenizer.json"
    tokenizer = json.loads(path.read_bytes())
    tokenizer["model"]["vocab"] = {word: -number for word, number in tokenizer["model"]["vocab"].items()}
    path.write_text(json.dumps(tokenizer))
    assert "serving.draft: other: it numbers" in plan(tmp_path, 2)
    (tmp_path / "other" / "config.json").write_text("[]")
    assert "other: config.json: Expected `object`" in plan(tmp_path, 2)


def plan(root: Path, code: int) -> str:
    done = punie_build(root, "plan")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
