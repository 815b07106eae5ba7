"""The license and the base model of a base, for cards."""

from __future__ import annotations

import json

import pytest

from punie_build.models.origin import Origin, read_origin
from punie_build.models.spec import Base

README = "---\nlicense: apache-2.0\nbase_model:\n- some/model\ntags: [mlx]\n---\n# A base\n"
COMMIT = "0" * 40


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps({"license": "mit"}))
    return tmp_path / "base"


def test_the_recipe_comes_before_the_readme_and_the_readme_before_the_config(folder):
    root = folder.parent
    assert read_origin(root, Base(path="base")) == Origin(license="mit")
    (folder / "README.md").write_text(README)
    assert read_origin(root, Base(path="base")) == Origin(license="apache-2.0", base_model="some/model")
    stated = Base(path="base", license="cc0-1.0", base_model="me/mine")
    assert read_origin(root, stated) == Origin(license="cc0-1.0", base_model="me/mine")


@pytest.mark.parametrize("text", ["no front matter", "---\n[\n---\n", "---\nlicense: [", "---\n- a\n---\n", ""])
def test_a_readme_that_says_nothing_is_passed_over(folder, text):
    (folder / "README.md").write_text(text)
    assert read_origin(folder.parent, Base(path="base")) == Origin(license="mit")


def test_a_base_of_the_hub_is_the_base_model(tmp_path):
    assert read_origin(tmp_path, Base(hub="some/base", revision=COMMIT)) == Origin(base_model="some/base")
    assert read_origin(tmp_path, Base(embedded="nano")) == Origin()
