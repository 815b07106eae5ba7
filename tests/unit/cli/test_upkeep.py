from __future__ import annotations

from punie_build.engine import build
from punie_build.project import Project
from tests.support.command import punie_build
from tests.support.project import create, edit

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 20 }

[dataset.old]
source = { type = "sample", max_examples = 5 }
"""


def test_files_are_accepted_and_leftovers_are_removed(tmp_path):
    root = create(tmp_path, RECIPE)
    for task in Project.load(root).tasks:
        build.build(root, task)
    edit(root, "20", "21")
    output = punie_build(root, "accept", "sample").stdout
    assert output.startswith("dataset:sample: accepted as it is, not built; its lock says so, with what differed:\n")
    assert "    recipe.source.max_examples: 20 -> 21\n" in output
    assert "nothing to accept" in punie_build(root, "accept", "sample").stdout
    assert "note    dataset:sample: accepted as it was, not built: recipe" in punie_build(root, "check").stdout
    edit(root, RECIPE[RECIPE.index("[dataset.old]") :], "")
    assert "data/old: would be removed\n" in punie_build(root, "prune", "--dry-run").stdout
    assert (root / "data/old").is_dir()
    assert "data/old.splits.lock: removed\n" in punie_build(root, "prune").stdout
    assert not list((root / "data").glob("old*"))
    assert punie_build(root, "prune").stdout == "nothing to remove: every lock has its recipe\n"
    assert (root / "data/sample").is_dir()
