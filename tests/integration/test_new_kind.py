"""A kind of artifact that is declared in one file is built, explained, checked, listed and drawn like all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.artifacts.registry import KINDS
from tests.support.doit_runner import doit

DODO = '''
from pathlib import Path

from punie_build.artifacts.registry import register
from punie_build.doit_plugin.tasks import DOIT_CONFIG, artifacts
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import TaskInputs
from punie_build.engine.work import StepResult
from punie_build.schema.spec import Spec

__all__ = ["DOIT_CONFIG", "task_artifacts"]


class Poem(Spec, frozen=True, kw_only=True):
    """The lines of a dataset's first words."""

    data: str
    lines: int = 3


def inputs(recipe, entry):
    source = recipe.resolve("data", entry.spec.data)
    return TaskInputs(doc=f"{entry.spec.lines} lines of {source.name}", needs=(source,), inputs=(source.target,))


def write(work):
    [source] = work.inputs()
    rows = (source / "train.jsonl").read_text().splitlines()[: work.spec.lines]
    (work.out / "poem.txt").write_text("\\n".join(row[:40] for row in rows) + "\\n")
    return StepResult(f"{len(rows)} lines", {"lines": len(rows)})


def verify(folder, spec, base):
    if (folder / "poem.txt").read_text().count("\\n") != spec.lines:
        yield f"lines: the recipe asks for {spec.lines}"


POEM = ArtifactKind(
    name="poem",
    plural="Poems",
    spec=Poem,
    references={"data": "data"},
    namespace="poem",
    folder="poems",
    inputs=inputs,
    step=write,
    verify=verify,
    summary=(("lines", "{:.0f} lines"),),
)
register(POEM)


def task_artifacts():
    yield from artifacts()
'''
RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 30 }

[poem.short]
data = "sample"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("poems")
    (root / "recipes").mkdir()
    (root / "recipes" / "all.toml").write_text(RECIPE)
    (root / "dodo.py").write_text(DODO)
    assert "poem:short\n   3 lines" in doit(root)
    return root


def command(root: Path, *arguments: str) -> str:
    """Run a command of punie-build in a program that has registered the kind."""
    program = "import runpy, sys; runpy.run_path('dodo.py'); from punie_build.cli.main import main; main(sys.argv[1:])"
    run = subprocess.run([sys.executable, "-c", program, *arguments], cwd=root, capture_output=True, text=True)
    assert "Traceback" not in run.stderr
    return run.stdout + run.stderr


def test_doit_builds_and_lists_it_and_has_nothing_to_do_then(project):
    assert (project / "poems/short/poem.txt").read_text().count("\n") == 3
    assert (project / "poems/short.lock.json").exists()
    assert "poem:short" in doit(project, "list", "--all")
    assert "2 artifacts: 2 current" in doit(project)


@pytest.mark.slow
def test_why_explains_it_and_a_changed_recipe_rebuilds_it(project):
    path = project / "recipes/all.toml"
    path.write_text(path.read_text() + "lines = 5\n")
    assert "recipe.lines: 3 -> 5" in command(project, "why", "poem:short")
    assert "1 ran" in doit(project)


@pytest.mark.slow
def test_check_compares_its_lock_its_files_and_its_content(project):
    assert "recipes: 2 current" in command(project, "check", "--outputs", "--conformance")
    (project / "poems/short/poem.txt").write_text("one\n")
    report = command(project, "check", "--outputs", "--conformance")
    assert "poems/short/poem.txt: " in report
    assert "lines: the recipe asks for 3" in report


def test_it_has_a_page_and_a_row_in_the_index(project):
    assert "3 lines of sample" in (project / "reports/poem-short.html").read_text()
    index = (project / "reports/index.html").read_text()
    assert "Poems" in index
    assert "3 lines" in index


def test_a_mistake_in_its_table_is_reported_like_any_other(project):
    path = project / "recipes/all.toml"
    path.write_text(path.read_text().replace('data = "sample"', 'data = "sampel"\nlinse = 3'))
    report = command(project, "check")
    assert "poem.short.linse: unknown key - did you mean 'lines'?" in report
    assert "poem.short.data: no dataset or stage or mix is called 'sampel' - did you mean 'sample'?" in report


def test_it_stays_out_of_this_process():
    assert "poem" not in KINDS
