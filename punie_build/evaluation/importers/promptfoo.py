"""promptfoo's form: prompts with variables, tests with assertions, in YAML. Assertions that ask a model or run code are told and left out."""

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
    """Raises DataError for what is no YAML, or has no tests."""
    import yaml

    try:
        told = yaml.safe_load(source.path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{source.path.name}: not YAML: {' '.join(str(error).split())}") from None
    tests = told.get("tests") if isinstance(told, dict) else None
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise DataError(f"{source.path.name}: no `tests` - is this a promptfoo configuration?")
    prompts = [_prompt(each) for each in told.get("prompts") or ["{{prompt}}"]]
    always = told.get("defaultTest") if isinstance(told.get("defaultTest"), dict) else {}
    cases, notes = [], list[str]()
    for number, test in enumerate(tests, 1):
        asserted = [*(always.get("assert") or ()), *(test.get("assert") or ())]
        checks = [check for each in asserted for check in _checks(each, f"test {number}", notes)]
        values = (always.get("vars") or {}) | (test.get("vars") or {})
        if not checks:
            notes.append(f"test {number}: no assertion that can be imported")
            continue
        for place, prompt in enumerate(prompts, 1):
            name = f"test-{number}" if len(prompts) == 1 else f"test-{number}-{place}"
            category = str((test.get("metadata") or {}).get("category") or test.get("description") or "all")
            group = f"test-{number}" if len(prompts) > 1 else None
            cases.append(
                Case(id=name, category=category, prompt=_filled(prompt, values), checks=tuple(checks), group=group)
            )
    return build_suite(source.path, cases, notes)


def _prompt(value: Any) -> str:
    return str(value.get("raw") or value.get("label") or "") if isinstance(value, dict) else str(value)


def _filled(prompt: str, values: dict[str, Any]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda hit: str(values.get(hit[1], hit[0])), prompt)


def _checks(asserted: Any, where: str, notes: list[str]) -> list[AnyCheck]:
    kind = str(asserted.get("type")) if isinstance(asserted, dict) else "none"
    if kind == "assert-set":
        return [check for each in asserted.get("assert") or () for check in _checks(each, where, notes)]
    plain = kind.removeprefix("not-")
    make = CHECKS.get(plain)
    try:
        check = make(asserted.get("value"), asserted) if make else None
    except (ValueError, TypeError, AttributeError, KeyError):
        check = None
    if check is None:
        notes.append(f"{where}: {kind} is left out")
        return []
    return [Not(check=check)] if kind != plain else [check]


def _words(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else tuple(part.strip() for part in str(value).split(","))


def _sequence(value: Any, _: Any) -> AnyCheck:
    steps = value["steps"] if isinstance(value, dict) else value
    mode = value.get("mode", "in_order") if isinstance(value, dict) else "in_order"
    calls = tuple(
        ExpectedCall(name=str(step.get("name") if isinstance(step, dict) else step), more=True) for step in steps
    )
    return Calls(calls=calls) if mode == "exact" else Calls(calls=calls, mode="ordered", allow=("*",))


def _arguments(value: Any, _: Any) -> AnyCheck:
    partial = value.get("mode", "partial") == "partial"
    call = ExpectedCall(name=str(value["name"]), arguments=dict(value.get("args") or {}), more=partial)
    return Calls(calls=(call,), mode="superset")


CHECKS: dict[str, Callable[[Any, Any], AnyCheck]] = {
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
    "latency": lambda _, said: Latency(max=float(said["threshold"]) / 1000),
    "finish-reason": lambda value, _: Finish(reason=value),
    "tool-call-f1": lambda value, _: Calls(
        calls=tuple(ExpectedCall(name=name, more=True) for name in _words(value)), mode="unordered"
    ),
    "trajectory:tool-used": lambda value, _: Recall(
        tools=_words(value.get("name") if isinstance(value, dict) else value)
    ),
    "trajectory:tool-sequence": _sequence,
    "trajectory:tool-args-match": _arguments,
}
