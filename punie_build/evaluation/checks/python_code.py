"""Checks of Code Mode: the Python inside a call, read as a syntax tree. Nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from punie_build.evaluation.checks.check import Check, Right
from punie_build.evaluation.checks.response import PASS, Answer, Asked, Verdict


class Code(Check, frozen=True, kw_only=True, tag="code"):
    """Pass answers that call `tool` with Python that parses, makes these `calls` and none of `forbid`, reads these `fields` of results and
    contains these `constants`. With `order` the calls come one after another in the text. A call is known by its name, or the end of
    it: `files.read` is made by `tools.files.read(...)`. The score is the share of demands that are met."""

    calls: tuple[str, ...] = ()
    order: bool = False
    fields: tuple[str, ...] = ()
    constants: tuple[str | int | float | bool, ...] = ()
    forbid: tuple[str, ...] = ()
    tool: str = "execute_code"
    argument: str = "code"

    def judge(self, answer: Answer) -> Verdict:
        blocks = [call.arguments.get(self.argument) for call in answer.calls if call.name == self.tool]
        if not blocks:
            called = ", ".join(call.name for call in answer.calls)
            return Verdict(0.0, *(("wrong tool", f"called {called}") if called else ("no call", f"no {self.tool}")))
        try:
            trees = [parsed(text) for text in blocks if isinstance(text, str)]
        except ValueError as error:
            return Verdict(0.0, "wrong code", str(error))
        if len(trees) < len(blocks):
            return Verdict(0.0, "wrong arguments", f"{self.tool} without `{self.argument}`")
        lacks = self._lacks(trees)
        demands = 1 + len(self.calls) + len(self.fields) + len(self.constants) + len(self.forbid)
        return Verdict(1 - len(lacks) / demands, "wrong code", "; ".join(lacks)) if lacks else PASS

    def _lacks(self, trees: list[ast.Module]) -> list[str]:
        made = [name for tree in trees for name in calls(tree)]
        read, said = {name for tree in trees for name in fields(tree)}, [c for tree in trees for c in constants(tree)]
        lacks = [f"does not call {name}" for name in self.calls if not any(_is(name, each) for each in made)]
        lacks += [f"calls {name}" for name in self.forbid if any(_is(name, each) for each in made)]
        lacks += [f"does not read {name}" for name in self.fields if name not in read]
        lacks += [
            f"does not say {value!r}"
            for value in self.constants
            if not any(type(value) is type(each) and value == each for each in said)
        ]
        if not lacks and self.order:
            rest = iter(made)
            if not all(any(_is(name, each) for each in rest) for name in self.calls):
                lacks.append(f"calls {', '.join(made)} in this order")
        return lacks

    def right(self) -> Right:
        lines = [f"{name}()" for name in self.calls] + [f"r.{name}" for name in self.fields]
        return Right(calls=(Asked(self.tool, {self.argument: "\n".join([*lines, *map(repr, self.constants)])}),))


def _is(name: str, made: str) -> bool:
    return made == name or made.endswith(f".{name}")


def parsed(text: str) -> ast.Module:
    """Raises ValueError with what keeps the text from being Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in what a model wrote is not our user's concern
            return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"does not parse: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"does not parse: {error}") from None


def calls(tree: ast.AST) -> list[str]:
    """The dotted names of all calls, by where they end in the text: an argument's call before the call it is in."""
    found = [
        (node.end_lineno or 0, node.end_col_offset or 0, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (name := ".".join(_dotted(node.func)))
    ]
    return [name for _, _, name in sorted(found)]


def _dotted(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield from _dotted(node.value)
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id


def fields(tree: ast.AST) -> Iterator[str]:
    """What is read of values: attributes, and keys that are written as texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def constants(tree: ast.AST) -> Iterator[object]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
