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

from punie_build.data.example import Example

_FENCE = re.compile(r"```[ \t]*(?:python|py|python2|python3)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|print\b|for .+:|while .+:|if .+:|raise |exec |\w+ = )", re.MULTILINE
)
_OLD_LITERAL = re.compile(r"0[0-7]+|\d+[lL]|0[xX][0-9a-fA-F]+[lL]|[uU][rR](['\"]).*", re.DOTALL)
_PATH = re.compile(r"\w:\\")  # "C:\Users" is a mistake of any age
_SPAN = re.compile(r"`([^`\n]+)`")
_SAID = re.compile(r"""(?<![{;'"(])\bprint (['"])[^'"\n]*\1""")  # `print 'x'` in a sentence; awk's stands after a brace
GONE = frozenset(["xrange", "unicode", "raw_input", "basestring", "unichr", "execfile"])
GONE_METHODS = frozenset(["has_key", "iteritems", "itervalues", "iterkeys"])
GONE_MODULES = frozenset(["urllib2", "ConfigParser", "StringIO", "cPickle", "Tkinter", "httplib", "urlparse"])


def blocks(example: Example) -> Iterator[str]:
    """The Python code the assistant writes: fenced blocks, else spans, sayings of `print 'x'`, or all that reads like code."""
    about_python = any("python" in text.lower() for text in example.texts("system", "user", "assistant"))
    for text in example.texts("assistant"):
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
    except SyntaxError as error:
        escape = str(error).startswith("(unicode error)") and "\n" in code and not _PATH.search(code)
        return _python2_construct(code, escape)
    except (ValueError, RecursionError, MemoryError):
        return _python2_construct(code)
    return _uses_gone_names(tree)


def _uses_gone_names(tree: ast.AST) -> bool:
    bound: set[str] = set()
    used: set[str] = set()
    methods: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            return False  # `try: xrange except NameError:` is a shim for both versions
        if _is_gone(node):
            return True
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            methods.add(node.func.attr)
    return bool((used - bound) & GONE or (methods - bound) & GONE_METHODS)


def _is_gone(node: ast.AST) -> bool:
    """What today's grammar parses and no Python 3 runs: a module that is gone, `print >>file, text` (a shift of the function
    `print`), `from x import *` in a function."""
    match node:
        case ast.Import(names):
            return not GONE_MODULES.isdisjoint(alias.name for alias in names)
        case ast.ImportFrom(module):
            return module in GONE_MODULES
        case ast.BinOp(left=ast.Name(id="print"), op=ast.RShift()):
            return True
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            return any(isinstance(line, ast.ImportFrom) and line.names[0].name == "*" for line in body)
    return False


@cache
def _driver() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fissix import pygram, pytree
        from fissix.pgen2 import driver

        return driver.Driver(pygram.python_grammar, convert=pytree.convert)


def _python2_construct(code: str, escape: bool = False) -> bool:
    """Whether Python 2's grammar parses it, with something that no later one has; `escape`: more than a line of it has a text such as `"\\u"`."""
    from fissix import pygram

    try:
        tree = _driver().parse_string(code.rstrip() + "\n")
    except (
        Exception
    ):  # its own errors, and KeyError, IndexError, AssertionError... for text that is no Python of any age
        return False
    if escape:
        return True
    return any(_is_python2(node, pygram.python_symbols) for node in tree.pre_order())


def _is_python2(node: Any, symbols: Any) -> bool:
    if node.type in (symbols.print_stmt, symbols.exec_stmt, symbols.tfpdef, symbols.vfpdef):  # `def f((a, b))`, too
        return True
    if node.type in (symbols.except_clause, symbols.raise_stmt):
        return any(str(child) == "," for child in node.children)
    if node.children or node.value == "0" * len(node.value):
        return False
    if node.value in ("async", "await"):  # words of today; `async = True` is a name, the word alone is talk
        return str(node.next_sibling).strip() == "="
    return node.value in ("<>", "`") or _OLD_LITERAL.fullmatch(node.value) is not None
