"""Importer of promptfoo: prompts with variables and tests with assertions, in YAML.

Assertions that query a model or run code are not imported; notes list them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from punie_build.errors import DataError
from punie_build.evaluation.checks.union import (
    AnyCheck,
    Calls,
    Contains,
    Equals,
    ExpectedCall,
    Finish,
    Json,
    Latency,
    MatchesRegex,
    Not,
    Recall,
)
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite
from punie_build.evaluation.suite import Case


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import a promptfoo configuration. Raise DataError for a file that is not YAML or has no tests."""
    import yaml

    try:
        config = yaml.safe_load(source.path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{source.path.name}: not YAML: {' '.join(str(error).split())}") from None
    tests = config.get("tests") if isinstance(config, dict) else None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise DataError(f"{source.path.name}: no `tests` - choose a promptfoo configuration")
    prompts = [_template(prompt) for prompt in config.get("prompts") or ["{{prompt}}"]]
    default = config.get("defaultTest") if isinstance(config.get("defaultTest"), dict) else {}
    cases, notes = [], list[str]()
    for number, test in enumerate(tests, 1):
        name = f"test-{number}"
        assertions = [*(default.get("assert") or ()), *(test.get("assert") or ())]
        checks = [check for assertion in assertions for check in _checks(assertion, f"test {number}", notes)]
        variables = (default.get("vars") or {}) | (test.get("vars") or {})
        if not checks:
            notes.append(f"test {number}: no assertion that can be imported")
            continue
        category = str((test.get("metadata") or {}).get("category") or test.get("description") or "all")
        for index, prompt in enumerate(prompts, 1):
            cases.append(
                Case(
                    id=name if len(prompts) == 1 else f"{name}-{index}",
                    category=category,
                    prompt=_render(prompt, variables),
                    checks=tuple(checks),
                    group=name if len(prompts) > 1 else None,
                )
            )
    return build_suite(source.path, cases, notes)


def _template(prompt: Any) -> str:
    return str(prompt.get("raw") or prompt.get("label") or "") if isinstance(prompt, dict) else str(prompt)


def _render(template: str, variables: dict[str, Any]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: str(variables.get(match[1], match[0])), template)


def _checks(assertion: Any, where: str, notes: list[str]) -> list[AnyCheck]:
    """Return the checks of an assertion; none, and a note, if it cannot be imported."""
    kind = str(assertion.get("type")) if isinstance(assertion, dict) else "none"
    if kind == "assert-set":
        return [check for nested in assertion.get("assert") or () for check in _checks(nested, where, notes)]
    positive = kind.removeprefix("not-")
    make = CHECKS.get(positive)
    try:
        check = make(assertion.get("value"), assertion) if make else None
    except (ValueError, TypeError, AttributeError, KeyError):
        check = None
    if check is None:
        notes.append(f"{where}: {kind} is not imported")
        return []
    return [Not(check=check)] if kind != positive else [check]


def _words(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else tuple(part.strip() for part in str(value).split(","))


def _f1(value: Any, _: Any) -> AnyCheck:
    return Calls(calls=tuple(ExpectedCall(name=name, more=True) for name in _words(value)), mode="unordered")


def _sequence(value: Any, _: Any) -> AnyCheck:
    steps = value["steps"] if isinstance(value, dict) else value
    mode = value.get("mode", "in_order") if isinstance(value, dict) else "in_order"
    names = [str(step.get("name") if isinstance(step, dict) else step) for step in steps]
    calls = tuple(ExpectedCall(name=name, more=True) for name in names)
    return Calls(calls=calls) if mode == "exact" else Calls(calls=calls, mode="ordered", allow=("*",))


def _arguments(value: Any, _: Any) -> AnyCheck:
    partial = value.get("mode", "partial") == "partial"
    call = ExpectedCall(name=str(value["name"]), arguments=dict(value.get("args") or {}), more=partial)
    return Calls(calls=(call,), mode="superset")


CHECKS: dict[str, Callable[[Any, Any], AnyCheck]] = {  # type of assertion -> function of its value and the assertion
    "equals": lambda value, _: Equals(text=str(value)),
    "contains": lambda value, _: Contains(words=(str(value),), case=True),
    "icontains": lambda value, _: Contains(words=(str(value),)),
    "contains-all": lambda value, _: Contains(words=_words(value), case=True),
    "contains-any": lambda value, _: Contains(words=_words(value), case=True, mode="any"),
    "icontains-all": lambda value, _: Contains(words=_words(value)),
    "icontains-any": lambda value, _: Contains(words=_words(value), mode="any"),
    "starts-with": lambda value, _: MatchesRegex(pattern=rf"\A{re.escape(str(value))}"),
    "regex": lambda value, _: MatchesRegex(pattern=str(value)),
    "is-json": lambda _, __: Json(value={}),
    "contains-json": lambda _, __: Json(value={}),
    "latency": lambda _, assertion: Latency(max=float(assertion["threshold"]) / 1000),
    "finish-reason": lambda value, _: Finish(reason=value),
    "tool-call-f1": _f1,
    "trajectory:tool-used": lambda value, _: Recall(
        tools=_words(value.get("name") if isinstance(value, dict) else value)
    ),
    "trajectory:tool-sequence": _sequence,
    "trajectory:tool-args-match": _arguments,
}
