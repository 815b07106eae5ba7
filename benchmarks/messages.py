"""List the error messages of punie-build: `python benchmarks/messages.py` prints a table in Markdown.

A message has the form *where: what is wrong - what to do*. The table has those that are written where an error is
constructed, with `...` for values. Other messages are collected first, such as the mistakes of a recipe file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from punie_build import errors

PACKAGE = Path(errors.__file__).parent
ERRORS = frozenset(name for name, value in vars(errors).items() if isinstance(value, type))


class Message(Struct, frozen=True):
    """A message as its parts, and the module and line that construct it."""

    place: str
    error: str
    text: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """Return where, what is wrong, and what to do; a part that a value may hold is "..."."""
        head, _, advice = self.text.partition(" - ")
        where, colon, problem = head.partition(": ")
        return (where, problem, advice) if colon else ("", head, advice)


def messages() -> Iterator[Message]:
    """Yield every message in the order of the modules."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                for text in texts(node.args[0]):
                    yield Message(f"{path.relative_to(PACKAGE)}:{node.lineno}", node.func.id, text)


def texts(node: ast.expr) -> list[str]:
    """Return the texts that an expression may be, with `...` for values; none if it is only a value."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            parts = [value.value if isinstance(value, ast.Constant) else "..." for value in values]
            return ["".join(map(str, parts))]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one + two for one in texts(left) or ["..."] for two in texts(right) or ["..."]]
        case ast.IfExp(body=body, orelse=other):
            return [*texts(body), *texts(other)]
        case ast.List(elts=items):
            return [text for item in items for text in texts(item)]
    return []


def table() -> str:
    """Return the messages as a table in Markdown."""
    rows = [(message.place, *message.parts) for message in messages()]
    lines = ["| place | where | what is wrong | what to do |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)])


if __name__ == "__main__":
    print(table())
