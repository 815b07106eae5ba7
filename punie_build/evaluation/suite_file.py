"""Suite files: from TOML or JSONL to a suite, or every mistake of the file.

A JSONL file has a case on each line; a line without an `id` says what a TOML file says outside of its cases: `system`, `tools`, `split`.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from punie_build.errors import did_you_mean
from punie_build.evaluation import suite as suites
from punie_build.evaluation.checks.union import AnyCheck, Not, PythonHook
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.schema.validation import mistakes

BUILTIN_FOLDER = Path(__file__).parent / "suites_builtin"


def builtin_path(name: str) -> Path:
    """The file of a suite that is built in."""
    return BUILTIN_FOLDER / f"{name}.toml"


def read_suite(spec: SuiteFile, root: Path, where: str) -> tuple[Suite | None, list[str]]:
    """A suite of a project, or what is wrong with its file, a line each. `where` names who asks for it."""
    label = str(spec.file or spec.embedded)
    path = builtin_path(spec.embedded) if spec.embedded else root / str(spec.file)
    try:
        table = _table(path)
    except FileNotFoundError:
        return None, [f"{where}.file: no file '{spec.file}' - create it, or correct the path"]
    except (ValueError, OSError) as error:
        return None, [f"{label}: {error}"]
    problems = list(mistakes(table, Suite, f"{label}: ", key="id"))
    if problems:
        return None, problems
    suite, wrong = _with_hooks(msgspec.convert(table, Suite), root)
    return suite, [f"{label}: {problem}" for problem in [*suites.problems(suite), *wrong]]


def _table(path: Path) -> dict[str, Any]:
    """Raises ValueError with what is wrong and where."""
    text = path.read_bytes()
    if path.suffix != ".jsonl":
        try:
            return tomllib.loads(text.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not a TOML file: {error}") from None
    table: dict[str, Any] = {"case": []}
    wrong = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            wrong.append(f"line {number}: not a JSON object: {error}")
            continue
        if "id" in said or "checks" in said:
            table["case"].append(said)
        else:
            table |= said
    if wrong:
        raise ValueError("; ".join(wrong))
    return table


def _with_hooks(suite: Suite, root: Path) -> tuple[Suite, list[str]]:
    """The suite with the text of every hook in it: what a hook says is part of what the suite says. Nothing is run."""
    wrong: list[str] = []

    def filled(check: AnyCheck, where: str) -> AnyCheck:
        if isinstance(check, Not):
            return structs.replace(check, check=filled(check.check, where))
        if not isinstance(check, PythonHook):
            return check
        try:
            return structs.replace(check, source=_source(check, root))
        except ValueError as error:
            wrong.append(f"case '{where}': {error}")
            return check

    if not any(isinstance(check, PythonHook | Not) for case in suite.cases for check in case.checks):
        return suite, wrong
    cases = [
        structs.replace(case, checks=tuple(filled(check, case.id) for check in case.checks)) for case in suite.cases
    ]
    return structs.replace(suite, cases=tuple(cases)), wrong


def _source(check: PythonHook, root: Path) -> str:
    """The text of a hook's file. Raises ValueError if that is not a file inside the project with this function."""
    if check.source:
        raise ValueError("`source` is filled in from the file - remove it")
    path = (root / check.path).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{check.path} leads out of the project - copy it into the project")
    try:
        text = path.read_text(encoding="utf-8")
        functions = [each.name for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)]
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"no file {check.path} that can be read - create it, or correct `function`") from None
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{check.path} is not Python: {error}") from None
    name = check.function.partition(":")[2]
    if name not in functions:
        raise ValueError(f"{check.path} has no function '{name}'{did_you_mean(name, functions)}")
    return text


def builtin_names() -> Iterator[str]:
    """The names of the suites that are built in."""
    return (path.stem for path in sorted(BUILTIN_FOLDER.glob("*.toml")))
