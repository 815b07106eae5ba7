"""Fingerprint: which code made an artifact, as far as it matters.

Cheap steps are known by the meaning of the modules they use: comments, docstrings and layout do not count. Expensive
ones have a version that is raised by hand, so that a refactoring never costs an hour of training.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
MODULES = {
    "dataset": ("sources", "samples", "authored", "editor_tools", "examples", "jsonl", "mixing", "data_steps"),
    "stage": ("filters", "python2", "examples", "jsonl", "data_steps"),
    "mix": ("mixing", "examples", "jsonl", "data_steps"),
    "comparison": (
        "comparing",
        "stats",
        "reporting/page",
        "reporting/material",
        "reporting/sections",
        "reporting/charts",
    ),
}
TEMPLATES = {"comparison": "reporting/templates"}
VERSIONS = {"adapter": 1, "eval": 1}  # raise when the same recipe would rightly give another result


@cache
def code(kind: str) -> str:
    """A short text that changes when the step behind a kind of artifact does something else."""
    if kind in VERSIONS:
        return f"version {VERSIONS[kind]}"
    parts = [meaning((HERE / f"{module}.py").read_text(encoding="utf-8")) for module in MODULES[kind]]
    if folder := TEMPLATES.get(kind):
        parts += [path.read_text(encoding="utf-8") for path in sorted((HERE / folder).iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def meaning(source: str) -> str:
    """Python code without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
