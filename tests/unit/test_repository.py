"""The repository itself: its workflow, the files that documents name, text files, and what the wheel holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import hatch_build
from tests.support.text_files import problems

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
# bytes that training and tools wrote, and tables of words, whose lines end as they like
GENERATED = re.compile(
    r".*(\.lock|\.lock\.json|\.safetensors|\.png|\.jinja)$|models/nano/.*\.json$|tests/support/result_files/"
)


def tracked() -> list[str]:
    """Return the files that git tracks, or would track, as they are in the work tree."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git work tree")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def test_the_workflow_tests_linux_and_macos_on_every_python():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert jobs["fast"]["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "macos-latest"],
        "python": ["3.11", "3.12", "3.13", "3.14"],
    }
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert './run pytest -m "not slow"' in runs["fast"]
    assert ".ci/run" in runs["all"]
    assert "./run pytest" in runs["nightly"]
    named = {word for lines in runs.values() for line in lines for word in line.split() if word.endswith(".py")}
    assert all((ROOT / name).exists() for name in named)


def test_ci_runs_tests_lint_format_types_spelling_and_recipes():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    runs = [line.removeprefix("./run ") for line in lines if line.startswith("./run ")]
    commands = ["pytest", "ruff check", "ruff format --check", "mypy", "codespell", "punie-build check"]
    assert runs == commands
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "hooks need no network"
    assert all(hook["entry"].startswith("./run ") for hook in hooks[0]["hooks"])


@pytest.mark.parametrize("name", ["bug.yml", "config.yml"])
def test_issue_templates_are_yaml(name):
    template = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text())
    assert isinstance(template, dict)
    identifiers = [field.get("id") for field in template.get("body", [])]
    assert len(identifiers) == len(set(identifiers))


def pinned(name: str) -> set[str]:
    """Return the lines of a lock that pin a package, without hashes: name, version, platforms."""
    lines = (ROOT / name).read_text().splitlines()
    return {line.removesuffix(" \\") for line in lines if re.match(r"[a-z0-9]", line)}


def test_what_a_build_needs_is_a_part_of_what_tests_need():
    """A venv set up by `./run doit` gets the other packages by `./run pytest`, and no other version of one."""
    build, everything = pinned("requirements-build.lock"), pinned("requirements.lock")
    assert build < everything
    names = {line.partition("==")[0] for line in build}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [re.split(r"[\[=>;]", need)[0] for need in project["dependencies"]]
    assert {name.lower().replace("_", "-") for name in needed} <= names
    assert names.isdisjoint({"pytest", "ruff", "mypy", "moto", "selenium"})


def test_the_citation_has_the_version_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


@pytest.mark.parametrize(
    "document", ["CONTRIBUTING.md", "README.md", "SECURITY.md", "docs/architecture.md", "docs/gates.md", "docs/why.md"]
)
def test_files_that_a_document_names_exist(document):
    text = (ROOT / document).read_text()
    paths = set(
        re.findall(r"(?<![\w/.])((?:punie_build|tests|docs|benchmarks|models/nano|\.github|\.ci)/[\w./-]*\w)", text)
    )
    assert paths or document != "CONTRIBUTING.md"
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert missing == []


CODE = re.compile(r"`([^`]+)`")
NAMES_OF_CODE = re.compile(r"[A-Za-z_]\w+")


def names_defined_in(path: Path) -> set[str]:
    """Return the names of functions, classes, fields and values in a file, or in all Python files of a folder."""
    files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    definitions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return definitions | {node.id for node in nodes if isinstance(node, ast.Name)}


def rows_to_add() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| to add |") :].split("\n\n")[0]
    return table.splitlines()[2:]


@pytest.mark.parametrize("row", rows_to_add(), ids=lambda row: row.split("|")[1].strip())
def test_a_row_of_the_table_of_additions_names_code_that_exists(row):
    words = CODE.findall("|".join(row.split("|")[2:]))
    paths = [ROOT / word for word in words if "/" in word]
    modules = [word for word in words if word.endswith(".py") and "/" not in word]
    names = [word for word in words if NAMES_OF_CODE.fullmatch(word)]
    assert len(paths) + len(modules) + len(names) == len(words)
    assert all(path.exists() for path in paths)
    assert all(any((path / module).exists() for path in paths) for module in modules)
    known = set().union(*(names_defined_in(path) for path in paths))
    assert [name for name in names if name not in known] == []


def sections_of_paths() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    return [section for section in re.split(r"^##+ ", text, flags=re.MULTILINE) if section.startswith("From ")]


@pytest.mark.parametrize("section", sections_of_paths(), ids=lambda section: section.splitlines()[0])
def test_a_path_through_the_code_names_files_that_exist_and_counts_them(section):
    items = re.findall(r"^(\d+)\. `([^`]+)`", section, re.MULTILINE)
    assert [int(number) for number, _ in items] == list(range(1, len(items) + 1))
    assert f" {len(items)} files:" in section
    called = re.findall(r"`([\w/-]+\.\w+)`", section.partition("Called on the way:")[2])
    assert called
    names = [name for _, name in items] + [name for name in called if "/" in name or name.endswith(".py")]
    assert len({name for _, name in items}) == len(items)
    assert [name for name in names if not any((ROOT / base / name).exists() for base in (".", "punie_build"))] == []


def test_text_files_end_with_a_newline_and_lines_without_blanks():
    names = [name for name in tracked() if not GENERATED.match(name)]
    assert [line for name in names for line in problems(ROOT / name)] == []


def test_a_text_file_with_problems_is_reported(tmp_path):
    (tmp_path / "a.toml").write_text("a = 1 \nb =\n\n")
    text = "\n".join(problems(tmp_path / "a.toml"))
    assert "a.toml:1: blanks at the end of the line" in text
    assert "blank lines at the end of the file" in text
    assert "not TOML" in text


def test_the_metadata_of_the_package_are_complete_and_its_readme_has_full_urls():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    assert {"authors", "keywords", "classifiers", "urls", "license", "requires-python", "description"} <= set(project)
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= set(project["urls"])
    readme = hatch_build.with_urls((ROOT / "README.md").read_text(), project["urls"]["Repository"])
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(targets) > 15
    assert all(target.startswith("https://") for target in targets)
    assert f"]({project['urls']['Repository']}/raw/main/docs/report.png)" in readme, "a picture, not its page"


@pytest.mark.slow
def test_the_wheel_says_that_it_is_typed_and_holds_no_tests(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "punie_build/py.typed" in names
    assert "punie_build/nano/model.safetensors" in names
    assert "punie_build/docs/recipes.md" in names
    assert "punie_build/docs/how-to/own-data.md" in names
    assert not [name for name in names if name.startswith("tests/")]
