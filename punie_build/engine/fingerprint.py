"""Fingerprint of the code that makes an artifact, as far as that code decides the artifact's bytes.

A cheap step is identified by the meaning of its code: the definitions that the step and the classes named in its recipe can
reach. Comments, docstrings, formatting, messages, progress bars, imports and the names and places of modules mean nothing, so
moving code to another file rebuilds no artifact. Packages that change no bytes (`OUTSIDE`) are not followed.
An expensive step has a version that is raised by hand, so that a refactoring never costs an hour of training.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.schema.spec import structs
from punie_build.storage import paths

HERE = Path(__file__).parent.parent
PACKAGE = "punie_build"
STEPS = {  # kind -> the function that the build runs
    "dataset": ("data.steps", "dataset"),
    "stage": ("data.steps", "stage"),
    "mix": ("data.steps", "mix"),
    "grid": ("sweeps.steps", "grid"),
    "choice": ("sweeps.steps", "choice"),
    "eval": ("evaluation.steps", "eval_"),
    "comparison": ("evaluation.steps", "comparison"),
}
VERSIONS = {
    "tokens": 2,
    "preflight": 1,
    "adapter": 4,
    "model": 1,
    "answers": 1,
}  # raise when the same recipe would rightly give another result

OUTSIDE = (
    "artifacts",
    "data.filters.score_cache",
    "engine",
    "runtime",
    "storage",
)  # packages and modules that change no bytes
MUTE = ("say",)  # methods that only tell people something

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
    _book = root / paths.STATE / "code.json"
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
        if not _outside(symbol):
            yield symbol


@cache
def _code(kind: str, named: frozenset[Symbol]) -> str:
    return of_symbols([STEPS[kind], *named])


def of_symbols(roots: list[Symbol]) -> str:
    """16 hex digits over the meaning of all definitions that the roots can reach, wherever they are defined."""
    parts = sorted(f"{name} {text}" for (_, name), text in reached(roots).items())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _outside(symbol: Symbol) -> bool:
    """Whether a definition belongs to a module that changes no artifact's bytes."""
    return any(symbol[0] == module or symbol[0].startswith(f"{module}.") for module in OUTSIDE)


def reached(roots: list[Symbol]) -> dict[Symbol, str]:
    """The meaning of every definition of ours that the roots can reach. Unions of kinds are not followed: a recipe names
    the kinds it uses."""
    found: dict[Symbol, str] = {}
    waiting = list(roots)
    while waiting:
        symbol = waiting.pop()
        if symbol in found or _outside(symbol) or not (definition := _module(symbol[0]).get(symbol[1])):
            continue
        if definition.meaning:
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
            "".join(meaning(statement, bound) for statement in body),
            tuple(
                sorted({use for statement in body for use in _uses(statement, module, known, bound)} - {(module, name)})
            ),
        )
        for name, body in statements.items()
        if not _is_union(body[0])
    }


Bound = Mapping[
    str, Symbol
]  # local name -> the definition of ours that it stands for; ("module", "") for a whole module


def _imports(tree: ast.Module) -> Iterator[tuple[str, Symbol]]:
    """The local names of everything that a module imports from this package, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _ours(node):
            inner = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".removeprefix(".")
                yield alias.asname or alias.name, ((whole, "") if _path(whole) else (inner, alias.name))


def _ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == PACKAGE


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [] if _is_message(statement) else [statement.name]
        case ast.Assign():
            return [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        case ast.AnnAssign() | ast.AugAssign():
            return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    return []


def _is_message(statement: ast.AST) -> bool:
    """Whether it is a function that the decorator `message` marks: its result is only shown to people."""
    decorators = getattr(statement, "decorator_list", ())
    return any(isinstance(decorator, ast.Name) and decorator.id == "message" for decorator in decorators)


def _is_union(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.BinOp)
        and all(isinstance(node, ast.Name | ast.BinOp | ast.BitOr | ast.Load) for node in ast.walk(statement.value))
    )


def _uses(node: ast.AST, module: str, known: set[str], bound: Bound) -> Iterator[Symbol]:
    """The definitions of ours that a statement names; what only tells people something names none."""
    if isinstance(node, ast.Raise) or _is_mute(node) or _is_message(node):
        return
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        other, name = bound.get(node.value.id, ("", "?"))
        if not name:
            yield other, node.attr
            return
    if isinstance(node, ast.Name):
        if node.id in known:
            yield module, node.id
        elif node.id in bound and bound[node.id][1]:
            yield bound[node.id]
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, module, known, bound)


def meaning(node: Any, bound: Bound | None = None) -> str:
    """Write the syntax without comments, docstrings, layout, messages and own imports; the same text from every Python.

    `bound` maps the local names of a module to definitions of ours: `module.name` and an alias both read as `name`.
    """
    bound = bound or {}
    if isinstance(node, list):
        return f"[{','.join(meaning(part, bound) for part in node if not _is_silent(part))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and bound.get(node.value.id, "..")[1] == "":
        return meaning(ast.Name(id=node.attr))
    if isinstance(node, ast.Name) and node.id in bound:
        node = ast.Name(id=bound[node.id][1] or node.id)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Raise):
        fields = {"exc": node.exc.func if isinstance(node.exc, ast.Call) else node.exc}
    elif isinstance(node, ast.JoinedStr):  # 3.12 splits what lies between two values otherwise
        fields["values"] = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    said = ",".join(
        f"{name}={meaning(value, bound)}"
        for name, value in fields.items()
        if value is not None and value != [] and name not in ("ctx", "type_comment", "kind")
    )
    return f"{type(node).__name__}({said})"


def _is_mute(node: Any) -> bool:
    """Whether it is a call such as `work.say(...)`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTE


def _is_silent(part: Any) -> bool:
    """Whether part of a list decides nothing: a docstring, `pass`, a message to people, an import of ours."""
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant) or _is_mute(part.value)
    if isinstance(part, ast.ImportFrom):
        return _ours(part)
    return isinstance(part, ast.Pass) or _is_message(part)
