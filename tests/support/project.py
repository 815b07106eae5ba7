"""Projects in a temporary folder: written from the text of one recipe, edited, and copied once they are built.

`SAMPLE` is the data of every test that only needs something to train on. Such tests build with `shared_store`, a
store of the test session, so that the first of them computes tokens and preflight of nano, and the others restore
them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = Path("recipes", "project.toml")
SAMPLE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }
"""

DATA_ONLY = f"""{SAMPLE}
[stage.clean]
from = "sample"
filters = [{{ type = "min-messages", messages = 2 }}]
"""


def create(root: Path, recipe: str, files: Mapping[str, str] | None = None) -> Path:
    """Write a project: this repository's `dodo.py`, one recipe file, and other files by their path. Return its root."""
    for name, text in {RECIPE.as_posix(): recipe, **(files or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "dodo.py", root)
    return root


def edit(project: Path, old: str, new: str) -> None:
    """Replace a text that occurs in the project's recipe file."""
    text = (project / RECIPE).read_text(encoding="utf-8")
    assert old in text
    (project / RECIPE).write_text(text.replace(old, new), encoding="utf-8")
