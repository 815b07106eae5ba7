"""Importer of programming tasks with tests: HumanEval and MBPP, as JSONL, its `.gz`, or JSON of sanitized MBPP.

An answer passes if its code passes the tests of the task, as in their own evaluators. The wording of the question is
that of a chat: HumanEval asks for the completed function, MBPP shows its tests.
"""

from __future__ import annotations

from typing import Any

from punie_build.evaluation.checks.union import Execute
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case, ReferenceAnswer

HUMANEVAL = {"task_id", "prompt", "canonical_solution", "test", "entry_point"}
MBPP = {
    "task_id", "text", "prompt", "code", "test_list", "test_setup_code", "test_imports", "challenge_test_list",
    "source_file",
}  # fmt: skip
COMPLETE = "Complete this Python function. Answer with the whole function in one code block."
PROGRAM = "Write a Python program for this task, in one code block."


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import tasks. Raise DataError for a file that has none."""
    notes, cases, ignored = list[str](), list[Case](), set[str]()
    challenges = 0
    for number, row in enumerate(read_objects(source.path), 1):
        is_humaneval = "entry_point" in row
        try:
            cases.append(_humaneval(row) if is_humaneval else _mbpp(row))
        except (ValueError, TypeError, KeyError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            notes.append(f"{row.get('task_id', f'row {number}')} is left out: {reason}")
            continue
        ignored |= row.keys() - (HUMANEVAL if is_humaneval else MBPP)
        challenges += bool(row.get("challenge_test_list"))
    if ignored:
        notes.append(f"these keys are not imported: {', '.join(sorted(ignored))}")
    if challenges:
        notes.append(f"challenge_test_list of {challenges} tasks is not imported, as in the evaluation of MBPP")
    return build_suite(source.path, cases, notes)


def _humaneval(row: dict[str, Any]) -> Case:
    prompt, test, name = _text(row, "prompt"), _text(row, "test"), _text(row, "entry_point")
    if not name.isidentifier():
        raise ValueError(f"entry_point {name[:40]!r} is no name of a function")
    return Case(
        id=_text(row, "task_id"),
        prompt=f"{COMPLETE}\n\n```python\n{prompt.rstrip()}\n```",
        checks=(Execute(prefix=prompt, tests=f"{test.rstrip()}\n\ncheck({name})\n"),),
        oracle=ReferenceAnswer(content=f"```python\n{prompt}{_text(row, 'canonical_solution')}\n```"),
    )


def _mbpp(row: dict[str, Any]) -> Case:
    question = _text(row, "text" if "text" in row else "prompt").strip()
    tests = _lines(row, "test_list")
    if not tests:
        raise ValueError("test_list is empty")
    setup = [*_lines(row, "test_imports"), *filter(None, [_text(row, "test_setup_code", "")])]
    test_lines = "\n".join(tests)
    return Case(
        id=f"mbpp-{row['task_id']}",
        prompt=f"{PROGRAM}\n\n{question}\n\nIt should pass these tests:\n\n```python\n{test_lines}\n```",
        checks=(Execute(tests="\n".join([*setup, *tests]) + "\n"),),
        oracle=ReferenceAnswer(content=f"```python\n{_text(row, 'code').strip()}\n```"),
    )


def _text(row: dict[str, Any], key: str, default: str | None = None) -> str:
    value = row[key] if default is None else row.get(key) or default
    if not isinstance(value, str):
        raise ValueError(f"`{key}` is no text")
    return value.replace("\r\n", "\n")


def _lines(row: dict[str, Any], key: str) -> list[str]:
    value = row.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"`{key}` is no list of texts")
    return value
