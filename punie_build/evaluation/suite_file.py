"""Reader of suite files. It returns a suite, or every mistake of the file.

A JSONL file has a case on each line. A line without an `id` has the keys that a TOML file has outside its cases:
`system`, `tools`, `split`.
"""

from __future__ import annotations

import ast
import codecs
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from punie_build.errors import did_you_mean
from punie_build.evaluation import suite as suites
from punie_build.evaluation.checks.union import AnyCheck, Execute, Not, PythonHook, Weighted
from punie_build.evaluation.combined_suite import combine
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.evaluation.tool_state import install_command
from punie_build.runtime.limited_function import missing_limits
from punie_build.schema.spec import structs as structs_in
from punie_build.schema.validation import mistakes
from punie_build.storage import project_file

BUILTIN_FOLDER = Path(__file__).parent / "suites_builtin"
PACKAGE = __name__.partition(".")[0]  # has classes of its own, such as bfcl_world
PACKAGE_ROOT = Path(__file__).parents[2]


def builtin_path(name: str) -> Path:
    """Return the path of a built-in suite."""
    return BUILTIN_FOLDER / f"{name}.toml"


def builtin_names() -> Iterator[str]:
    """Yield the names of the built-in suites."""
    return (path.stem for path in sorted(BUILTIN_FOLDER.glob("*.toml")))


def read_suite(spec: SuiteFile, root: Path, where: str) -> tuple[Suite | None, list[str]]:
    """Return the suite of a project, or None and a line for each mistake.

    `where` is the place in the recipe for messages.
    """
    if spec.parts:
        return _read_parts(spec, root, where)
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
    suite, hook_problems = _with_hooks(msgspec.convert(table, Suite), root)
    lines = [*suites.problems(suite), *hook_problems, *unlimited(suite, missing_limits())]
    return suite, [f"{label}: {problem}" for problem in lines]


def unlimited(suite: Suite, missing: str) -> Iterator[str]:
    """Yield a line if the suite runs code, and the system lacks the `missing` limits for it."""
    count = sum(isinstance(value, Execute | PythonHook) for value in structs_in(suite)) + bool(suite.state)
    if missing and count:
        yield f"{count} checks or tools run code, and this system has no {missing} - use Linux or macOS"


def _read_parts(spec: SuiteFile, root: Path, where: str) -> tuple[Suite | None, list[str]]:
    files = [SuiteFile(file=part.file, embedded=part.embedded) for part in spec.parts]
    results = [read_suite(file, root, f"{where}.parts[{index}]") for index, file in enumerate(files)]
    problems = [problem for _, of_part in results for problem in of_part]
    pairs = list(zip(spec.parts, results, strict=True))
    read = [(part.label, part.weight, suite) for part, (suite, _) in pairs if suite is not None]
    return (combine(read) if len(read) == len(files) else None), problems


def _table(path: Path) -> dict[str, Any]:
    """Read the file as a table. Raise ValueError with each mistake and its line."""
    text = project_file.read(path).removeprefix(codecs.BOM_UTF8)
    if path.suffix != ".jsonl":
        try:
            return project_file.parse_toml(text)
        except ValueError as error:
            raise ValueError(f"not a TOML file: {error}") from None
    table: dict[str, Any] = {"case": []}
    problems = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            problems.append(f"line {number}: not a JSON object: {error}")
            continue
        if "id" in row or "checks" in row:
            table["case"].append(row)
        else:
            table |= row
    if problems:
        raise ValueError("; ".join(problems))
    return table


def _with_hooks(suite: Suite, root: Path) -> tuple[Suite, list[str]]:
    """Return the suite with the source code of every hook, which is part of the suite's digest. No hook is run."""
    problems: list[str] = []

    def with_source(check: AnyCheck, case: str) -> AnyCheck:
        if isinstance(check, Not):
            return structs.replace(check, check=with_source(check.check, case))
        if isinstance(check, Weighted):
            members = [structs.replace(item, check=with_source(item.check, case)) for item in check.checks]
            return structs.replace(check, checks=tuple(members))
        if not isinstance(check, PythonHook):
            return check
        try:
            return structs.replace(check, source=_source(check.function, check.source, root, "function"))
        except ValueError as error:
            problems.append(f"case '{case}': {error}")
            return check

    if suite.state:
        try:
            source = _source(suite.state.name, suite.state.source, root, "class") + _version(suite.state.package or "")
            suite = structs.replace(suite, state=structs.replace(suite.state, source=source))
        except ValueError as error:
            problems.append(f"state: {error}")
    if not any(isinstance(check, PythonHook | Not | Weighted) for case in suite.cases for check in case.checks):
        return suite, problems
    cases = [
        structs.replace(case, checks=tuple(with_source(check, case.id) for check in case.checks))
        for case in suite.cases
    ]
    return structs.replace(suite, cases=tuple(cases)), problems


def _source(reference: str, source: str, root: Path, noun: str) -> str:
    """Return the text of the file of `module:name`. Raise ValueError if it is not a file of the project with this
    function or class."""
    if source:
        raise ValueError("`source` is read from the file - remove it")
    module, _, name = reference.partition(":")
    root = PACKAGE_ROOT if module.startswith(f"{PACKAGE}.") else root
    file = module.replace(".", "/") + ".py"
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{file} leads out of the project - copy it into the project")
    node_type = ast.FunctionDef if noun == "function" else ast.ClassDef
    try:
        text = project_file.read(path).decode("utf-8")
        names = [node.name for node in ast.parse(text).body if isinstance(node, node_type)]
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"no readable file {file} - create it, or correct `{noun}`") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{file} is not Python: {error or 'expressions too deep'}") from None
    if name not in names:
        raise ValueError(f"{file} has no {noun} '{name}'{did_you_mean(name, names)}")
    return text


def _version(package: str) -> str:
    """Return a comment with the version of a package that a class imports. Raise ValueError if it is not installed."""
    if not package:
        return ""
    try:
        return f"\n# {package} {metadata.version(package)}\n"
    except metadata.PackageNotFoundError:
        raise ValueError(f"{package} is not installed - {install_command(package)}") from None
