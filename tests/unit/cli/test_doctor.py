"""`punie-build doctor`: facts of machine and project, with advice, and exit code 2 only where a build would fail."""

from __future__ import annotations

import json

from punie_build import __version__
from tests.support.command import punie_build
from tests.support.project import DATA_ONLY, create


def facts(root, code: int = 0) -> dict[str, dict[str, str]]:
    process = punie_build(root, "doctor", "--json")
    assert process.returncode == code, process.stdout
    return {fact["name"]: fact for fact in json.loads(process.stdout)}


def test_machine_packages_and_project_are_told(tmp_path):
    create(tmp_path, DATA_ONLY)
    found = facts(tmp_path)
    assert __version__ in found["punie-build"]["text"]
    assert found["mlx"]["level"] == "ok"
    assert found["artifacts"]["text"] == "2 not built"
    assert found["git"]["advice"].endswith("git init")
    text = punie_build(tmp_path, "doctor").stdout
    assert "ok  artifacts: 2 not built\n" in text
    assert "--  git: " in text


def test_a_folder_without_recipes_is_a_remark(tmp_path):
    assert facts(tmp_path)["project"] == {
        "level": "remark", "name": "project", "text": "no recipes here", "advice": "punie-build init",
    }  # fmt: skip


def test_mistakes_in_recipes_are_a_problem(tmp_path):
    create(tmp_path, DATA_ONLY + "[stage.x]\nfrm = 'sample'\n")
    assert facts(tmp_path, code=2)["recipes"]["text"] == "2 mistakes"
