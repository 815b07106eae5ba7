"""The public modules of each package: `__all__` of its `__init__` names those that code outside the package imports."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path

import grimp
import pytest

import punie_build

ROOT = Path(__file__).parents[2]
NAME = "punie_build"
SOURCES = Path(punie_build.__file__).parent
REFERENCE = re.compile(r"punie_build(\.\w+)+(:\w+)?")  # "package.module:name" in a declaration, or a module to run
DOCUMENTS = (*sorted(ROOT.glob("*.md")), ROOT / "pyproject.toml", *sorted((ROOT / "docs").glob("*.md")))


def packages() -> list[str]:
    """Return the dotted names of all packages below the root of the code."""
    folders = sorted(path.parent.relative_to(SOURCES) for path in SOURCES.rglob("__init__.py"))
    return [".".join((NAME, *folder.parts)) for folder in folders if folder.parts]


def modules(package: str) -> set[str]:
    """Return the names of the modules and packages in a package."""
    folder = SOURCES.joinpath(*package.split(".")[1:])
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return names - {"__init__"}


def public(package: str) -> tuple[str, ...]:
    return tuple(getattr(import_module(package), "__all__", ()))


@cache
def users() -> dict[tuple[str, str], set[str]]:
    """Return (package, name in it) -> the modules outside the package that import or name it."""
    graph = grimp.build_graph(NAME, cache_dir=None)
    uses = {(user, used) for user in graph.modules for used in graph.find_modules_directly_imported_by(user)}
    for path in SOURCES.rglob("*.py"):
        user = ".".join((NAME, *path.relative_to(SOURCES).with_suffix("").parts))
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        uses |= {(user, str(text).partition(":")[0]) for text in texts if REFERENCE.fullmatch(str(text))}
    result: dict[tuple[str, str], set[str]] = defaultdict(set)
    for user, used in uses:
        parts = used.split(".")
        for depth in range(2, len(parts)):
            package = ".".join(parts[:depth])
            if user != package and not user.startswith(f"{package}."):
                result[package, parts[depth]].add(user)
    return result


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_it_holds_and_names_its_modules(package):
    lines = (import_module(package).__doc__ or "").strip().splitlines()
    assert 3 <= len(lines) <= 10
    assert lines[0].endswith(".")
    names = public(package)
    assert list(names) == sorted(set(names))
    assert set(names) <= modules(package)


@pytest.mark.parametrize("package", packages())
def test_only_public_modules_are_imported_from_outside(package):
    private = {name: sorted(by) for (of, name), by in users().items() if of == package and name not in public(package)}
    assert private == {}


@pytest.mark.parametrize("package", packages())
def test_a_public_module_is_used_outside_or_documented(package):
    documents = "".join(path.read_text() for path in DOCUMENTS)
    unused = [name for name in public(package) if not users()[package, name] and f"{package}.{name}" not in documents]
    assert unused == []


@pytest.mark.parametrize("package", packages())
def test_a_package_imports_nothing_by_itself(package):
    path = SOURCES.joinpath(*package.split(".")[1:], "__init__.py")
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports == []
