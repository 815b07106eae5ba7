"""Python 2: find code that only Python 2 accepts.

Three steps, cheap first (`docs/why.md` has their precision and recall): today's grammar parses it -> look for names that
are gone; else Python 2's grammar parses it and it holds a construct only Python 2 has -> old; else it is not Python.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from punie_build.examples import Example

_FENCE = re.compile(r"```[ \t]*(?:python|py|python2|python3)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|print\b|for .+:|while .+:|if .+:|raise |exec |\w+ = )", re.MULTILINE
)
_SPAN = re.compile(r"`([^`\n]+)`")
_SAID = re.compile(r"""(?<![{;'"(])\bprint (['"])[^'"\n]*\1""")  # `print 'x'` in a sentence; awk's stands after a brace
GONE = frozenset(["xrange", "unicode", "raw_input", "basestring", "unichr", "execfile"])
GONE_METHODS = frozenset(["has_key", "iteritems", "itervalues", "iterkeys"])
GONE_MODULES = frozenset(["urllib2", "ConfigParser", "StringIO", "cPickle", "Tkinter", "httplib", "urlparse"])


def blocks(example: Example) -> Iterator[str]:
    """The Python code the assistant writes: fenced blocks, else spans, sayings of `print 'x'`, or all that reads like code."""
    about_python = any("python" in text.lower() for text in example.said("system", "user", "assistant"))
    for text in example.said("assistant"):
        if fenced := _FENCE.findall(text):
            yield from fenced
        elif about_python:
            yield from _SPAN.findall(text)
            yield from (said.group() for said in _SAID.finditer(text))
        if not fenced and _CODE_LINE.search(text):
            yield text


def only_python2(code: str) -> bool:
    """Whether Python 2 runs this and no Python 3 does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning for "\d": old style, not an old version
            tree = ast.parse(code, feature_version=(3, 13))  # later ones take `except A, b:` for two exceptions
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _python2_construct(code)
    return _uses_gone_names(tree)


def _uses_gone_names(tree: ast.AST) -> bool:
    bound: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            return False  # `try: xrange except NameError:` is a shim for both versions
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            modules = {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
            if modules & GONE_MODULES:
                return True
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.RShift)
            and isinstance(node.left, ast.Name)
            and node.left.id == "print"
        ):
            return True  # `print >>file, text` parses today, as a shift of the function `print`
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GONE_METHODS:
            return True
    return bool((used - bound) & GONE)


@cache
def _driver() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fissix import pygram, pytree
        from fissix.pgen2 import driver

        return driver.Driver(pygram.python_grammar, convert=pytree.convert)


def _python2_construct(code: str) -> bool:
    from fissix import pygram

    try:
        tree = _driver().parse_string(code.rstrip() + "\n")
    except (
        Exception
    ):  # its own errors, and KeyError, IndexError, AssertionError... for text that is no Python of any age
        return False
    symbols = pygram.python_symbols
    for node in tree.pre_order():
        if node.type in (symbols.print_stmt, symbols.exec_stmt):
            return True
        if node.type == symbols.except_clause and any(str(child) == "," for child in node.children):
            return True
        if node.type == symbols.raise_stmt and any(str(child) == "," for child in node.children):
            return True
        if (
            not node.children
            and (
                node.value in ("<>", "`")
                or re.fullmatch(r"0[0-7]+|\d+[lL]|0[xX][0-9a-fA-F]+[lL]|[uU][rR](['\"]).*", node.value, re.DOTALL)
            )
            and node.value != "0" * len(node.value)
        ):
            return True
    return False
