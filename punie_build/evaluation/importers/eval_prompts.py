"""Importer of EvalPrompts: a prompt, names of expected tools and keywords.

By default the check is `recall`, which reproduces the scores of the older evaluator. With `strict` the checks require
these calls and no others, and match keywords as complete words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie_build.errors import DataError
from punie_build.evaluation.checks.union import AnyCheck, Calls, Contains, ExpectedCall, NoCall, Recall
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case

FIELDS = ("id", "category", "prompt_text", "expected_tool_calls", "expected_keywords")


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import EvalPrompts. Raise DataError for a row without a prompt."""
    rows = list(_python_rows(source.path)) if source.path.suffix == ".py" else read_objects(source.path)
    cases, declared = [], set[str]()
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("prompt_text"), str):
            raise DataError(
                f"{source.path.name}: prompt {number} has no `prompt_text` - choose --form bfcl or promptfoo"
            )
        where = f"{source.path.name}: prompt {number}"
        tools, words = _names(row, "expected_tool_calls", where), _names(row, "expected_keywords", where)
        declared.update(tools)
        cases.append(
            Case(
                id=str(row.get("id") or f"case-{number}"),
                category=str(row.get("category") or "all"),
                prompt=row["prompt_text"],
                checks=tuple(_strict_checks(tools, words)) if source.strict else (Recall(tools=tools, words=words),),
            )
        )
    names = sorted(declared)
    notes = [f"declare the tools in the suite's `tools`: {', '.join(names)}"] if names else []
    return build_suite(source.path, cases, notes)


def _names(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return a list of names: texts, or tables with a `name` and no other key. Raise DataError for others."""
    items = row.get(key) or ()
    if not isinstance(items, list | tuple):
        raise DataError(f"{where}: `{key}` is not a list - write a list of names")
    names = [item.get("name") if isinstance(item, dict) and set(item) == {"name"} else item for item in items]
    if wrong := next((item for item in names if not isinstance(item, str)), None):
        raise DataError(f"{where}: `{key}` has {str(wrong)[:60]}, which is not read - write the name only")
    return tuple(map(str, names))


def _strict_checks(tools: tuple[str, ...], words: tuple[str, ...]) -> Iterator[AnyCheck]:
    if tools:
        yield Calls(calls=tuple(ExpectedCall(name=name, more=True) for name in tools), mode="unordered")
        return  # the text after a call depends on the result of the tool
    yield NoCall()
    if words:
        yield Contains(words=words, whole=all(word[0].isalnum() and word[-1].isalnum() for word in words))


def _python_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the arguments of all EvalPrompt(...) calls in a Python file, which is parsed and never executed."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: not Python: {error}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "EvalPrompt":
            try:
                positional = dict(zip(FIELDS, map(ast.literal_eval, node.args), strict=False))
                keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
            except ValueError:
                raise DataError(
                    f"{path.name}:{node.lineno}: an argument of EvalPrompt is not a literal - convert the file to JSON"
                ) from None
            yield positional | keywords
