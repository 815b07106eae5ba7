"""Detect code that only Python 2 accepts.

Cheap steps come first (`docs/why.md` has precision and recall). Code that Python 3 parses is searched for removed
names. Other code is Python 2 if Python 2's grammar parses it and finds a construct that only Python 2 has; else it is
not Python.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

_OLD_LITERAL = re.compile(r"0[0-7]+|\d+[lL]|0[xX][0-9a-fA-F]+[lL]|[uU][rR](['\"]).*", re.DOTALL)
_WINDOWS_PATH = re.compile(r"\w:\\")  # "C:\Users" is an error in every version
_PYTHON2_HINT = re.compile(
    r"\bprint\b|\bexec\b|\bexcept\b[^:\n]*,|\braise\b[^\n]*,|<>|"
    r"`[^`\n]+`|\b0\d|[\da-fA-F][lL]\b|\b[uU][rR]['\"]|\\[uUN]"
    r"|\bdef\b[^\n]*\([^)]*\(|\blambda\b[^:\n]*\(|\b(?:async|await)\b|import \*|\b(?:"
    r"xrange|unicode|raw_input|basestring|unichr|execfile|has_key|iter(?:items|values|keys)"
    r"|urllib2|ConfigParser|StringIO|cPickle|Tkinter|httplib|urlparse)\b"
)
_MAGIC = re.compile(r"[ \t]*(?:%%?[a-zA-Z]|![\w./]|\?\w|[\w.]+\?{1,2}[ \t]*$|\w+ = [!%]\w)")  # commands of notebooks
_CELL_OF_OTHER_LANGUAGE = re.compile(
    r"\s*%%(?:bash|sh|script|html|javascript|js|latex|svg|perl|ruby|R|sql|writefile (?!\S+\.py)|markdown)\b"
)
_STATEMENT = re.compile(r"(?!(?:else|elif|except|finally)\b)[A-Za-z_@]")  # at the left margin
_INNER_STATEMENT = re.compile(r"[ \t]+(?:def|class|@|if|for|while|try|with|return|print|raise|\w+ = )")
_LONG_QUOTES = ('"""', "'''")
_LONG_TOKEN = re.compile(  # comments and strings, of which one may be open
    r'#[^\n]*|"""(?:[^\\]|\\.)*?(?:"""|\Z)|'
    r"'''(?:[^\\]|\\.)*?(?:'''|\Z)|"
    r'"(?:[^"\\\n]|\\.)*"?|'
    r"'(?:[^'\\\n]|\\.)*'?",
    re.DOTALL,
)
ATTEMPTS = 6  # places where an incomplete file is cut, from each end
MAX_LEVELS = 20
MAX_SIZE = 300_000  # characters that the slow parser of Python 2 reads
REMOVED_NAMES = frozenset(["xrange", "unicode", "raw_input", "basestring", "unichr", "execfile"])
REMOVED_METHODS = frozenset(["has_key", "iteritems", "itervalues", "iterkeys"])
REMOVED_MODULES = frozenset(["urllib2", "ConfigParser", "StringIO", "cPickle", "Tkinter", "httplib", "urlparse"])


def requires_python2(code: str) -> bool:
    """Return whether the code runs on Python 2 and on no Python 3.

    Code that no version parses is tried without the commands of notebooks, and without an incomplete beginning or end.
    """
    code = _dedent(code.replace("\r\n", "\n").replace("\r", "\n"))
    verdict = _verdict(code)
    if verdict is None and _PYTHON2_HINT.search(code):
        verdict = next((found for part in _parts(code) if (found := _verdict(part)) is not None), None)
    return bool(verdict)


def _verdict(code: str) -> bool | None:
    """Return whether the code is Python 2, None if it is not Python of any version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning for "\d": deprecated, but valid
            tree = ast.parse(code, feature_version=(3, 13))  # later versions accept `except A, b:`
        return _uses_removed_names(tree)
    except SyntaxError as error:
        if "too many" in str(error):  # nested brackets or blocks: no version accepts these
            return None
        escape = str(error).startswith("(unicode error)") and "\n" in code and not _WINDOWS_PATH.search(code)
        return _python2_construct(code, escape)
    except (ValueError, RecursionError, MemoryError):
        return _python2_construct(code)


def _dedent(code: str) -> str:
    """Return the code without common indentation. Code that begins deeper than it ends is put into blocks."""
    lines = textwrap.dedent(code).split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    indent = len(first) - len(first.lstrip())
    if not indent:
        return "\n".join(lines)
    levels = sorted({len(line) - len(line.lstrip()) for line in lines if line.strip()} & {*range(indent)})
    if len(levels) > MAX_LEVELS:
        return "\n".join(lines)
    return "\n".join([*(" " * level + "if 1:" for level in levels), *lines])


def _parts(code: str) -> Iterator[str]:
    """Yield the parts of code that may parse on their own, the longest first."""
    if _CELL_OF_OTHER_LANGUAGE.match(code):
        return
    lines = _without_open_string(code).split("\n")
    if any(_MAGIC.match(line) for line in lines):
        lines = [_blank(line) if _MAGIC.match(line) else line for line in lines]
        yield "\n".join(lines)
    begins = [number for number, line in enumerate(lines) if _STATEMENT.match(line)]
    inner = [number for number, line in enumerate(lines) if _INNER_STATEMENT.match(line)]
    yield from (_completed(lines[:end]) for end in dict.fromkeys((len(lines) - 1, *inner[-1:])))
    ends = sorted({*begins[-ATTEMPTS:], *inner[-ATTEMPTS:]} - {0}, reverse=True)
    yield from ("\n".join(lines[:end]) for end in ends)
    starts = [number for number in begins[:ATTEMPTS] if number]
    yield from ("\n".join(lines[start:]) for start in starts)
    yield from ("\n".join(lines[start:end]) for start in starts[:2] for end in ends[:3] if start < end)


def _without_open_string(code: str) -> str:
    """Return code without the statement that begins a string of several lines that never ends."""
    for token in _LONG_TOKEN.finditer(code):
        if token.end() == len(code) and token[0][:3] in _LONG_QUOTES and not token[0][3:].endswith(token[0][:3]):
            return code[: token.start()].rpartition("\n")[0]
    return code


def _completed(lines: list[str]) -> str:
    """Return the beginning of a file with an end: a body for its last block, a handler for each open `try`."""
    rest = [line for line in lines if line.strip()]
    if not rest:
        return ""
    indent, ends = len(rest[-1]) - len(rest[-1].lstrip()), list[str]()
    if rest[-1].rstrip().endswith(":"):
        ends.append(" " * (indent + 1) + "pass")
        indent += 1
    for line in reversed(rest):
        margin = len(line) - len(line.lstrip())
        if margin < indent:
            indent = margin
            if line.strip() == "try:":
                ends.append(line[:margin] + "except: pass")
    return "\n".join([*rest, *ends])


def _blank(line: str) -> str:
    """Return a statement without effect that is indented as the line."""
    return line[: len(line) - len(line.lstrip())] + "pass"


def _uses_removed_names(tree: ast.AST) -> bool:
    bound: set[str] = set()
    used: set[str] = set()
    methods: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) or (isinstance(node, ast.Attribute) and node.attr.startswith("assertRaises")):
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
            is_method = not node.args or node.func.attr == "has_key"  # six.iteritems(d) supports both versions
            methods.update([node.func.attr] * is_method)
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


def _python2_construct(code: str, escape: bool = False) -> bool | None:
    """Return whether Python 2's grammar parses the code and finds a construct that no later version has, None if not.

    With `escape`, parsing is enough: the code has several lines and a string such as `"\\u"`, which only Python 2
    accepts.
    """
    from fissix import pygram

    if not _PYTHON2_HINT.search(code) or len(code) > MAX_SIZE:
        return None
    try:
        tree = _driver().parse_string(code.rstrip() + "\n")
    except (
        Exception
    ):  # fissix raises its own errors, and KeyError, IndexError, AssertionError for text that is not Python
        return None
    return True if escape else any(_is_python2(node, pygram.python_symbols) for node in _nodes(tree)) or None


def _nodes(tree: Any) -> Iterator[Any]:
    """Yield all nodes of a tree of any depth, in order."""
    remaining = [tree]
    while remaining:
        node = remaining.pop()
        yield node
        remaining.extend(reversed(node.children))


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
