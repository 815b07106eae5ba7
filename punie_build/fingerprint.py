"""Fingerprint: which code made an artifact, as far as it matters.

Cheap steps are known by the meaning of their code: the definitions that a step and the kinds its recipe names can reach,
without comments, docstrings, layout and the wording of errors. Another filter's logic, or another Python, changes nothing.
Expensive steps have a version that is raised by hand, so that a refactoring never costs an hour of training.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build import layout
from punie_build.spec import structs

HERE = Path(__file__).parent
PACKAGE = "punie_build"
STEPS = {
    "dataset": ("data_steps", "dataset"),
    "stage": ("data_steps", "stage"),
    "mix": ("data_steps", "mix"),
    "grid": ("steps.grids", "grid"),
    "choice": ("steps.grids", "choice"),
    "eval": ("steps.evals", "eval_"),
    "comparison": ("steps.evals", "comparison"),
}
VERSIONS = {
    "tokens": 2,
    "preflight": 1,
    "adapter": 4,
    "model": 1,
    "answers": 1,
}  # raise when the same recipe would rightly give another result

BESIDE = ("gates", "memo")  # modules that change no artifact: what is demanded of it, what was looked at before

Symbol = tuple[str, str]  # module below punie_build with `.` between names, name in it


def code(kind: str, spec: Any) -> str:
    """A short text that changes when the step behind an artifact does something else for it."""
    if kind in VERSIONS:
        return f"version {VERSIONS[kind]}"
    named = frozenset(_classes(spec))
    name = f"{kind} {sorted(named)}"
    if name not in _known:
        _known[name] = _code(kind, named)
        if _book:
            _write_down(_book)
    return _known[name]


_known: dict[str, str] = {}
_book: Path | None = None


def remember(root: Path) -> None:
    """Know the fingerprints of earlier runs while no file of this package changed: parsing it takes 0.1 s. Where nothing can
    be written, they are worked out each time."""
    global _book  # noqa: PLW0603 - one package, one book
    _book = root / layout.STATE / "code.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(_book.read_text(encoding="utf-8"))
        if told["package"] == _package():
            _known.update({str(name): str(code) for name, code in told["codes"].items()})


@cache
def _package() -> str:
    """Changes when any file of this package does: by inode, size and times, as files of data are known."""
    found = [(path, os.stat(path)) for path in sorted(HERE.rglob("*")) if path.suffix == ".py"]
    stamps = [(path.name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found]
    return hashlib.sha256(f"{sys.version_info[:2]} {HERE} {stamps}".encode()).hexdigest()


def _write_down(book: Path) -> None:
    with suppress(OSError):
        book.parent.mkdir(exist_ok=True)
        fresh = book.with_name(f"{book.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"package": _package(), "codes": _known}), encoding="utf-8")
        fresh.replace(book)


def _classes(spec: Any) -> Iterator[Symbol]:
    """The classes of all values a recipe holds: which filters it names, which source."""
    for value in structs(spec):
        symbol = type(value).__module__.removeprefix(f"{PACKAGE}."), type(value).__name__
        if symbol[0] not in BESIDE:
            yield symbol


@cache
def _code(kind: str, named: frozenset[Symbol]) -> str:
    parts = [f"{module}.{name} {text}" for (module, name), text in reached([STEPS[kind], *named]).items()]
    return hashlib.sha256("\0".join(sorted(parts)).encode()).hexdigest()[:16]


def reached(roots: list[Symbol]) -> dict[Symbol, str]:
    """The meaning of every definition of ours that the roots can reach. Unions of kinds are not followed: a recipe names
    the kinds it uses."""
    found: dict[Symbol, str] = {}
    waiting = list(roots)
    while waiting:
        symbol = waiting.pop()
        if symbol in found or symbol[0] in BESIDE or not (definition := _module(symbol[0]).get(symbol[1])):
            continue
        found[symbol] = definition.meaning
        waiting += definition.uses
    return found


class Definition(Struct, frozen=True):
    """One top-level name of a module: what it means, and what of ours it uses."""

    meaning: str
    uses: tuple[Symbol, ...]


@cache
def _module(name: str) -> dict[str, Definition]:
    path = _path(name)
    return definitions(name, path.read_text(encoding="utf-8")) if path else {}


def _path(name: str) -> Path | None:
    """The file of a module or of a package; None if there is none of that name."""
    place = HERE / name.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if name and path.exists()), None)


def definitions(module: str, source: str) -> dict[str, Definition]:
    """Every top-level function, class and value of a module."""
    tree = ast.parse(source)
    bound = dict(_imports(tree))
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _names(statement):
            statements.setdefault(name, []).append(statement)
    known = set(statements)
    passed_on = {name: Definition("", (symbol,)) for name, symbol in bound.items() if symbol[1] and name not in known}
    return passed_on | {
        name: Definition(
            "".join(meaning(statement) for statement in body),
            tuple(
                sorted({use for statement in body for use in _uses(statement, module, known, bound)} - {(module, name)})
            ),
        )
        for name, body in statements.items()
        if not _is_union(body[0])
    }


def _imports(tree: ast.Module) -> Iterator[tuple[str, Symbol]]:
    """What a module calls something of ours, wherever it imports it; a whole module has no name in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            inner = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".removeprefix(".")
                yield alias.asname or alias.name, ((whole, "") if _path(whole) else (inner, alias.name))


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign():
            return [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        case ast.AnnAssign() | ast.AugAssign():
            return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    return []


def _is_union(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.BinOp)
        and all(isinstance(node, ast.Name | ast.BinOp | ast.BitOr | ast.Load) for node in ast.walk(statement.value))
    )


def _uses(statement: ast.stmt, module: str, known: set[str], bound: dict[str, Symbol]) -> Iterator[Symbol]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            other, name = bound.get(node.value.id, ("", "?"))
            if not name:
                yield other, node.attr
        elif isinstance(node, ast.Name):
            if node.id in known:
                yield module, node.id
            elif node.id in bound and bound[node.id][1]:
                yield bound[node.id]


def meaning(node: Any) -> str:
    """Syntax without comments, docstrings and layout, the same text from every Python that can read it."""
    if isinstance(node, list):
        return f"[{','.join(map(meaning, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = [part for part in node.body if not _says_nothing(part)]
    elif isinstance(node, ast.Raise):
        fields = {"exc": node.exc.func if isinstance(node.exc, ast.Call) else node.exc}
    elif isinstance(node, ast.JoinedStr):  # 3.12 splits what lies between two values otherwise
        fields["values"] = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    said = ",".join(
        f"{name}={meaning(value)}"
        for name, value in fields.items()
        if value is not None and value != [] and name not in ("ctx", "type_comment", "kind")
    )
    return f"{type(node).__name__}({said})"


def _says_nothing(statement: ast.stmt) -> bool:
    return (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)) or isinstance(
        statement, ast.Pass
    )
