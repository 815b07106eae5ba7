"""A check of the Python code in an argument of a tool call. The code is parsed, never executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.check import Check, Reference
from punie_build.evaluation.checks.response import PASS, Answer, CheckResult


class PythonCode(Check, frozen=True, kw_only=True, tag="code"):
    """Pass answers that call `tool` with valid Python code that meets all requirements.

    The code must call all of `calls` and none of `forbid`, read all `fields` of results and contain all `constants`.
    `order`: the calls must follow one another in the text. A name matches a dotted name that ends with it: `files.read`
    matches `tools.files.read(...)`. The score is the fraction of the requirements that are met.
    """

    calls: tuple[str, ...] = ()
    order: bool = False
    fields: tuple[str, ...] = ()
    constants: tuple[str | int | float | bool, ...] = ()
    forbid: tuple[str, ...] = ()
    tool: str = "execute_code"
    argument: str = "code"

    def score(self, answer: Answer) -> CheckResult:
        blocks = [call.arguments.get(self.argument) for call in answer.calls if call.name == self.tool]
        if not blocks:
            called = ", ".join(call.name for call in answer.calls)
            failure = ("wrong tool", f"called {called}") if called else ("no call", f"no {self.tool}")
            return CheckResult(0.0, *failure)
        try:
            trees = [parse(text) for text in blocks if isinstance(text, str)]
        except ValueError as error:
            return CheckResult(0.0, "wrong code", str(error))
        if len(trees) < len(blocks):
            return CheckResult(0.0, "wrong arguments", f"{self.tool} without `{self.argument}`")
        unmet = self._unmet(trees)
        count = 1 + len(self.calls) + len(self.fields) + len(self.constants) + len(self.forbid)
        return CheckResult(1 - len(unmet) / count, "wrong code", "; ".join(unmet)) if unmet else PASS

    def _unmet(self, trees: list[ast.Module]) -> list[str]:
        """Return a line for each requirement that the code does not meet."""
        called = [name for tree in trees for name in called_names(tree)]
        fields = {name for tree in trees for name in read_names(tree)}
        values = [value for tree in trees for value in constants(tree)]
        unmet = [f"does not call {name}" for name in self.calls if not any(_ends_with(call, name) for call in called)]
        unmet += [f"calls {name}" for name in self.forbid if any(_ends_with(call, name) for call in called)]
        unmet += [f"does not read {name}" for name in self.fields if name not in fields]
        unmet += [
            f"does not contain {constant!r}"
            for constant in self.constants
            if not any(type(constant) is type(value) and constant == value for value in values)
        ]
        if not unmet and self.order:
            remaining = iter(called)
            if not all(any(_ends_with(call, name) for call in remaining) for name in self.calls):
                unmet.append(f"calls {', '.join(called)} in this order")
        return unmet

    def reference(self) -> Reference:
        lines = [f"{name}()" for name in self.calls] + [f"r.{name}" for name in self.fields]
        code = "\n".join([*lines, *map(repr, self.constants)])
        return Reference(calls=(ToolCall(self.tool, {self.argument: code}),))


def _ends_with(dotted: str, name: str) -> bool:
    return dotted == name or dotted.endswith(f".{name}")


def parse(text: str) -> ast.Module:
    """Parse Python code. Raise ValueError with the syntax error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in generated code is no concern of the user
            return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"does not parse: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"does not parse: {error}") from None


def called_names(tree: ast.AST) -> list[str]:
    """Return the dotted names of all calls, ordered by their end: an argument precedes the call that takes it."""
    calls = [
        (node.end_lineno or 0, node.end_col_offset or 0, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (name := ".".join(_dotted(node.func)))
    ]
    return [name for _, _, name in sorted(calls)]


def _dotted(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield from _dotted(node.value)
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id


def read_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names of values that the code reads: attributes, and keys that are literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def constants(tree: ast.AST) -> Iterator[object]:
    """Yield the values of all literals."""
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
