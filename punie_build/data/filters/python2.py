"""Detect code that only Python 2 accepts.

Cheap steps come first (`docs/why.md` has precision and recall). Code that Python 3 parses is searched for removed
names. Other code is Python 2 if Python 2's grammar parses it and finds a construct that only Python 2 has; else it is
not Python.
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
_WINDOWS_PATH = re.compile(r"\w:\\")  # "C:\Users" is an error in every version
_SPAN = re.compile(r"`([^`\n]+)`")
_INLINE_PRINT = re.compile(r"""(?<![{;'"(])\bprint (['"])[^'"\n]*\1""")  # `print 'x'` in prose; awk's follows a brace
REMOVED_NAMES = frozenset(["xrange", "unicode", "raw_input", "basestring", "unichr", "execfile"])
REMOVED_METHODS = frozenset(["has_key", "iteritems", "itervalues", "iterkeys"])
REMOVED_MODULES = frozenset(["urllib2", "ConfigParser", "StringIO", "cPickle", "Tkinter", "httplib", "urlparse"])


def python_code(example: Example) -> Iterator[str]:
    """Yield the Python code of the assistant: fenced blocks, else code spans, inline `print 'x'`, or code-like text."""
    about_python = any("python" in text.lower() for text in example.texts("system", "user", "assistant"))
    for text in example.texts("assistant"):
        if fenced := _FENCE.findall(text):
            yield from fenced
        elif about_python:
            yield from _SPAN.findall(text)
            yield from (match.group() for match in _INLINE_PRINT.finditer(text))
        if not fenced and _CODE_LINE.search(text):
            yield text


def requires_python2(code: str) -> bool:
    """Return whether the code runs on Python 2 and on no Python 3."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning for "\d": deprecated, but valid
            tree = ast.parse(code, feature_version=(3, 13))  # later versions accept `except A, b:`
    except SyntaxError as error:
        escape = str(error).startswith("(unicode error)") and "\n" in code and not _WINDOWS_PATH.search(code)
        return _python2_construct(code, escape)
    except (ValueError, RecursionError, MemoryError):
        return _python2_construct(code)
    return _uses_removed_names(tree)


def _uses_removed_names(tree: ast.AST) -> bool:
    bound: set[str] = set()
    used: set[str] = set()
    methods: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            return False  # `try: xrange except NameError:` supports both versions
        if _is_removed(node):
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
    return bool((used - bound) & REMOVED_NAMES or (methods - bound) & REMOVED_METHODS)


def _is_removed(node: ast.AST) -> bool:
    """Return whether Python 3 parses the node but cannot run it.

    That is an import of a removed module, `print >>file, text` (a shift of the function `print`), or `from x import
    *` in a function.
    """
    match node:
        case ast.Import(names):
            return not REMOVED_MODULES.isdisjoint(alias.name for alias in names)
        case ast.ImportFrom(module):
            return module in REMOVED_MODULES
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
    """Return whether Python 2's grammar parses the code and finds a construct that no later version has.

    With `escape`, parsing is enough: the code has several lines and a string such as `"\\u"`, which only Python 2
    accepts.
    """
    from fissix import pygram

    try:
        tree = _driver().parse_string(code.rstrip() + "\n")
    except (
        Exception
    ):  # fissix raises its own errors, and KeyError, IndexError, AssertionError for text that is not Python
        return False
    if escape:
        return True
    return any(_is_python2(node, pygram.python_symbols) for node in tree.pre_order())


def _is_python2(node: Any, symbols: Any) -> bool:
    if node.type in (symbols.print_stmt, symbols.exec_stmt, symbols.tfpdef, symbols.vfpdef):  # also `def f((a, b))`
        return True
    if node.type in (symbols.except_clause, symbols.raise_stmt):
        return any(str(child) == "," for child in node.children)
    if node.children or node.value == "0" * len(node.value):
        return False
    if node.value in ("async", "await"):  # keywords now; `async = True` is Python 2, the word alone is prose
        return str(node.next_sibling).strip() == "="
    return node.value in ("<>", "`") or _OLD_LITERAL.fullmatch(node.value) is not None
