"""The meaning of Python source: its syntax without what cannot change a result.

Comments, docstrings, layout, error messages, messages to people and imports of this package mean nothing; neither do
the names and places of modules: `module.name`, an alias and `name` read the same. The text is the same from every
Python version."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.storage import paths

PACKAGE = "punie_build"
ROOT = paths.CODE
SILENT_METHODS = ("say",)  # methods that only print something for people
SILENT_DECORATOR = "message"  # marks a function whose result is only shown to people

Symbol = tuple[str, str]  # (module below the package, name in it); ("module", "") is the module itself
Bindings = Mapping[str, Symbol]  # local name -> the definition of the package that it stands for


class Definition(Struct, frozen=True):
    """A top-level name of a module: its meaning, and the definitions of the package that it uses."""

    meaning: str
    uses: tuple[Symbol, ...]


class Module:
    """The top-level names of a module; the meaning of each is computed when it is first asked for."""

    def __init__(self, name: str, source: str) -> None:
        tree = ast.parse(source)
        self.name, self.bindings = name, dict(_imports(tree))
        self.statements: dict[str, list[ast.stmt]] = {}
        for statement in tree.body:
            for defined in _names(statement):
                self.statements.setdefault(defined, []).append(statement)
        self.computed: dict[str, Definition | None] = {}

    def definition(self, name: str) -> Definition | None:
        """Return a function, class or value; a name that is imported from the package stands for its definition
        there."""
        if name not in self.computed:
            self.computed[name] = self._definition(name)
        return self.computed[name]

    def _definition(self, name: str) -> Definition | None:
        body = self.statements.get(name)
        if body is None:
            symbol = self.bindings.get(name, ("", ""))
            return Definition("", (symbol,)) if symbol[1] else None
        if _is_union(body[0]):
            return None
        reader = _Reader(self.name, self.statements, self.bindings)
        text = "".join([reader.text(statement) for statement in body])
        return Definition(text, tuple(sorted(reader.uses - {(self.name, name)})))


@cache
def module(name: str) -> Module | None:
    """Return a module of the package, or None if there is none of this name."""
    path = module_path(name)
    return Module(name, path.read_text(encoding="utf-8")) if path else None


@cache
def module_path(name: str) -> Path | None:
    """Return the file of a module or package below the root of the package, or None."""
    base = ROOT / name.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if name and path.exists()), None)


def meaning(node: Any) -> str:
    """Return the meaning of a syntax tree as text."""
    return _Reader("", (), {}).text(node)


class _Reader:
    """Writes the meaning of syntax trees of one module, and collects the definitions of the package that they use."""

    def __init__(self, module_name: str, local: Collection[str], bindings: Bindings) -> None:
        self.module_name, self.local, self.bindings = module_name, local, bindings
        self.uses: set[Symbol] = set()

    def text(self, node: Any) -> str:
        if isinstance(node, list):
            return f"[{','.join([self.text(part) for part in node if not _is_silent(part)])}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Name):
            return f"Name(id={self._name(node.id)!r})"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            parent, name = self.bindings.get(node.value.id, ("", "?"))
            if not name:
                self.uses.add((parent, node.attr))
                return f"Name(id={node.attr!r})"
        if isinstance(node, ast.Raise):  # its message and its class decide nothing but what people read
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            return f"Raise(exc={_Reader(self.module_name, (), self.bindings).text(error)})"
        parts = []
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "values" and isinstance(node, ast.JoinedStr):
                value = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
            if value is not None and value != [] and name not in ("ctx", "type_comment", "kind"):
                parts.append(f"{name}={self.text(value)}")
        return f"{type(node).__name__}({','.join(parts)})"

    def _name(self, name: str) -> str:
        """Return what a name stands for, and record it as used."""
        if name in self.local:
            self.uses.add((self.module_name, name))
        symbol = self.bindings.get(name)
        if symbol is None:
            return name
        if symbol[1] and name not in self.local:
            self.uses.add(symbol)
        return symbol[1] or name


def _imports(tree: ast.Module) -> Iterator[tuple[str, Symbol]]:
    """Yield the local name of everything that a module imports from the package, at its top or inside a function."""
    for node in _statements(tree):
        if isinstance(node, ast.ImportFrom) and _is_own(node):
            parent = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            for alias in node.names:
                child = f"{parent}.{alias.name}".removeprefix(".")
                yield alias.asname or alias.name, ((child, "") if module_path(child) else (parent, alias.name))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement of a module, outer before inner."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, block, None) or ():
            yield statement
            yield from _statements(statement)


def _is_own(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == PACKAGE


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [] if _is_message(statement) else [statement.name]
        case ast.Assign():
            return [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        case ast.AnnAssign() | ast.AugAssign():
            return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    return []


def _is_union(statement: ast.stmt) -> bool:
    """Whether it is `A | B | C`: a recipe names the members that it uses, so a union itself is not followed."""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.BinOp)
        and all(isinstance(node, ast.Name | ast.BinOp | ast.BitOr | ast.Load) for node in ast.walk(statement.value))
    )


def _is_message(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(isinstance(decorator, ast.Name) and decorator.id == SILENT_DECORATOR for decorator in decorators)


def _is_silent_call(node: Any) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SILENT_METHODS


def _is_silent(part: Any) -> bool:
    """Whether a part of a list decides nothing: a docstring, `pass`, a message to people, an import of the package."""
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant) or _is_silent_call(part.value)
    if isinstance(part, ast.ImportFrom):
        return _is_own(part)
    return isinstance(part, ast.Pass) or _is_message(part)
