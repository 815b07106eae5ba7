"""Documents: their examples run, and their lists are complete."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.cli import check_formats
from punie_build.data.dialects import normalize
from punie_build.data.example import SPLITS, parse
from punie_build.data.filters.union import AnyFilter
from punie_build.data.sources import AnySource
from punie_build.data.spec import Dialect
from punie_build.data.transforms import AnyTransform
from punie_build.engine import provenance
from punie_build.engine.recipe import Recipe
from punie_build.evaluation.checks.union import AnyCheck
from punie_build.project import Project
from punie_build.storage import locks
from punie_build.training.optimizer_spec import AnyOptimizer, AnySchedule
from punie_build.training.spec import ITERS, Adapter, Lora
from tests.support.command import punie_build
from tests.support.doit_runner import doit

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "docs" / "recipes.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_recipes_of_the_reference_form_a_project(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "suites").mkdir()
    (tmp_path / "world.py").write_text("class Account:\n    pass\n")
    question = '{"context": "The sky is", "choices": ["blue", "green"], "answer": 0}'
    (tmp_path / "suites/arc.jsonl").write_text(question)
    assert question in RECIPES
    for index, block in enumerate(blocks(RECIPES, "toml")):
        name = "suites/mine.toml" if "[[case]]" in block else f"recipes/{index}.toml"
        (tmp_path / name).write_text(block)
    labels = {task.label for task in Project.load(tmp_path).tasks}
    assert {
        "adapter:v1",
        "mix:combined",
        "stage:clean",
        "comparison:v1",
        "eval:v1-alone",
        "eval:nano@tool-calling",
    } <= labels


def test_the_defaults_in_the_reference_are_those_of_the_code():
    [example] = [tomllib.loads(block)["adapter"]["v1"] for block in blocks(RECIPES, "toml") if "[adapter.v1]" in block]
    assert msgspec.convert(example, Adapter) == Adapter(base="nano", data="combined", iters=ITERS)
    fields = {field.name for field in msgspec.structs.fields(Adapter)} - {"description", "gates"}
    without_default = {"epochs", "tokens", "early_stop", "init", "max_grad_norm", "neftune_noise_alpha", "valid"}
    assert fields - set(example) == without_default, "these fields have no default in TOML"
    section = RECIPES[RECIPES.index("## adapter") : RECIPES.index("## suite")]
    lora = {field.name for field in msgspec.structs.fields(Lora)}
    assert all(f"`{name}`" in section for name in (fields - set(example)) | lora)


def program(text: str, name: str) -> str:
    """Return the Python block of a document that begins with the name of its file."""
    [block] = [block for block in blocks(text, "python") if block.startswith(f"# {name}\n")]
    return block


@pytest.mark.slow
def test_the_recipes_in_python_of_the_reference_are_built_from_python(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "dodo.py").write_text(program(RECIPES, "dodo.py"))
    (tmp_path / "build.py").write_text(program(RECIPES, "build.py"))
    assert "stage:lang-de" in doit(tmp_path, "list", "--all")
    process = subprocess.run([sys.executable, "build.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    lines = process.stdout.splitlines()
    assert lines[:2] == ["dataset:sample run", "stage:lang-en run"]
    folder = tmp_path.resolve() / "data" / "lang-en"
    rows = sum((folder / f"{split}.jsonl").read_text().count("\n") for split in SPLITS)
    assert lines[-1] == f"{rows} examples in {folder}"


def test_the_methods_of_a_project_that_the_reference_names_exist():
    section = RECIPES[RECIPES.index("## From Python") : RECIPES.index("## Editor support")]
    names = set(re.findall(r"^\| `(?:Project\.)?(\w+)", section, re.MULTILINE))
    assert {"load", "plan", "build", "tasks"} <= names
    assert all(hasattr(Project, name) or name in Project(Path(), Recipe({}, {}), []).__dict__ for name in names)


@pytest.mark.slow
def test_the_kind_of_the_architecture_document_is_built(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "dodo.py").write_text(program(ARCHITECTURE, "dodo.py"))
    [recipe] = blocks(ARCHITECTURE, "toml")
    (tmp_path / "recipes" / "poems.toml").write_text(recipe)
    doit(tmp_path)
    assert (tmp_path / "poems/short/poem.txt").read_text().count("\n") == 3


@pytest.mark.parametrize("line", [line for block in blocks(RECIPES, "json") for line in block.splitlines()])
def test_the_chat_lines_of_the_reference_are_read(line):
    assert parse(line.encode()).example.messages


def test_the_reference_names_every_kind_and_every_parameter():
    assert all(f"[{kind.name}." in RECIPES for kind in KINDS.values() if kind.spec)
    for union in (AnyFilter, AnyTransform, AnySource, AnyCheck, AnyOptimizer, AnySchedule):
        for member in get_args(union):
            assert f"`{member.__struct_config__.tag}`" in RECIPES
            assert all(f"`{field.name}`" in RECIPES for field in msgspec.structs.fields(member))


def test_the_reference_names_every_dialect():
    assert all(f"| `{name}` |" in RECIPES for name in normalize.NAMES)
    assert get_args(Dialect) == ("auto", *normalize.NAMES)


def test_the_readme_has_its_two_commands_on_the_first_screen():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert "./run doit" in first
    assert "./run pytest" in first


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a Markdown text, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_links_between_documents_have_targets():
    for document in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "models").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ):
        for link, anchor in re.findall(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)", document.read_text()):
            path = document.parent / link if link else document
            assert path.exists(), f"{document.name}: {link}"
            if anchor and path.suffix == ".md":
                assert anchor in anchors(path.read_text()), f"{document.name}: {link}{anchor}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_no_committed_file_names_a_host_of_packages(name):
    lock = (ROOT / name).read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert "--index-url" not in lock


CI = (ROOT / "docs" / "ci.md").read_text()


@pytest.mark.slow
def test_the_workflow_of_the_ci_document_runs_what_there_is(tmp_path):
    whole, step = blocks(CI, "yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [needed] = [need for need in project["dependencies"] if need.startswith("msgspec")]
    assert f"pip install --no-deps punie-build=={project['version']} {needed} " in whole
    assert f'"punie-build[shared]=={project["version"]}"' in whole
    assert "run: punie-build check --gate --format github\n" in whole
    for line in re.findall(r"run: punie-build (.*)", whole):
        assert punie_build(tmp_path, *line.split()).returncode == 3, "understood, and no recipes there"
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load(whole)["jobs"]
    assert set(jobs) == {"check", "build"}
    assert all(("run" in each) != ("uses" in each) for job in jobs.values() for each in job["steps"])
    assert yaml.safe_load(step)[0]["with"]["predicate-type"] == provenance.PREDICATE


def test_the_ci_document_names_every_option_exit_code_and_format_of_check(tmp_path):
    options = set(re.findall(r"--[a-z]+", punie_build(tmp_path, "check", "--help").stdout)) - {"--help"}
    assert options == {"--outputs", "--conformance", "--gate", "--format", "--into"}
    assert all(f"`{option}" in CI for option in options)
    assert all(f"| {code} | " in CI for code in range(4))
    assert all(f"`{name}`" in CI or f"--format {name}" in CI for name in check_formats.FORMATS)


def test_the_metrics_the_ci_document_names_are_in_the_locks_of_our_own_recipes():
    [table] = [tomllib.loads(block) for block in blocks(CI, "toml") if "gates" in block]
    metrics = [gate.metric for gate in msgspec.convert(table["comparison"]["v1"], KINDS["comparison"].spec).gates]
    folders = {kind.folder for kind in KINDS.values() if kind.folder}
    known = {name for path in locks.present(ROOT, folders) for name in locks.read(path).metrics}
    named = ["examples", "dropped", "retention", "valid_loss", "valid_accuracy", "share", "passed", "parse_failures"]
    assert {*named, *(metric.replace("v1.", "quickstart.") for metric in metrics)} <= known
    assert all(f"`{name}`" in CI for name in named)
