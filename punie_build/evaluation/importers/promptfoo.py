"""Importer of promptfoo: prompts with variables and tests with assertions, in YAML.

Assertions that query a model or run code are not imported; notes list them. A test that uses a feature which changes
its meaning is left out, by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import UNSET, UnsetType

from punie_build.errors import DataError
from punie_build.evaluation.checks.json_text import schema_validator
from punie_build.evaluation.checks.matchers import ListValue, TableValue
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
    Weighted,
    WeightedCheck,
)
from punie_build.evaluation.importers import promptfoo_files
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite
from punie_build.evaluation.suite import Case

PLAIN_KEYS = {"type", "value", "metric", "threshold", "weight", "provider", "rubricPrompt", "config"}
VALUE_FILES = (".txt", ".json", ".yaml", ".yml")
PARTIAL = ("tool-call-f1",)  # assertions whose score is no 0 or 1
FILE = "file://"


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import a promptfoo configuration. Raise DataError for a file that is not YAML or has no tests."""
    import yaml

    try:
        config = yaml.safe_load(source.path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{source.path.name}: not YAML: {' '.join(str(error).split())}") from None
    config = config if isinstance(config, dict) else {}
    tests, folder = config.get("tests"), source.path.parent
    if isinstance(tests, str):
        tests = promptfoo_files.read_value(folder, tests, source.path.name)
    if isinstance(tests, list):
        tests = [test for item in tests for test in _tests(item, folder, source.path.name)]
    if not isinstance(tests, list) or not tests:
        refused = " (`scenarios` are not read)" if "scenarios" in config else ""
        raise DataError(f"{source.path.name}: no `tests`{refused} - choose a promptfoo configuration")
    default = config.get("defaultTest") or {}
    if not isinstance(default, dict):
        raise DataError(f"{source.path.name}: defaultTest {str(default)[:60]} is not read - write it into the file")
    prompts = promptfoo_files.prompts(config.get("prompts") or ["{{prompt}}"], folder, source.path.name)
    notes = [f"{len(prompts)} prompts are imported as wordings of one question"] if len(prompts) > 1 else []
    tools = _tools(config.get("providers"), notes)
    cases = list[Case]()
    for number, test in enumerate(tests, 1):
        try:
            cases += _cases(f"test-{number}", test, default, prompts, config, folder, notes)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            notes.append(f"test {number} is left out: {error}")
    return build_suite(source.path, cases, notes, tools=tools)


def _tests(item: Any, folder: Path, name: str) -> list[dict[str, Any]]:
    tests = promptfoo_files.read_value(folder, item, name) if isinstance(item, str) else item
    tests = tests if isinstance(tests, list) else [tests]
    if wrong := next((test for test in tests if not isinstance(test, dict)), None):
        raise DataError(f"{name}: the test {str(wrong)[:60]} is not a table - write it into the file")
    return tests


def _tools(providers: Any, notes: list[str]) -> tuple[dict[str, Any], ...]:
    """Return the tools that the providers declare, if they declare the same."""
    lists = []
    for provider in providers if isinstance(providers, list) else []:
        settings = provider.get("config") if isinstance(provider, dict) else None
        if isinstance(settings, dict) and settings.get("tools"):
            lists.append(settings["tools"])
    if not lists:
        return ()
    readable = isinstance(lists[0], list) and all(isinstance(tool, dict) for tool in lists[0])
    if not readable or any(tools != lists[0] for tools in lists):
        notes.append("the tools of the providers are not imported: they are in other files, or differ")
        return ()
    return tuple(lists[0])


def _cases(
    name: str,
    test: dict[str, Any],
    default: dict[str, Any],
    prompts: list[promptfoo_files.Prompt],
    config: dict[str, Any],
    folder: Path,
    notes: list[str],
) -> list[Case]:
    """Return a case for each prompt and each combination of listed variables. Raise ValueError if the test uses a
    feature that changes its meaning and cannot be imported."""
    options = _table(default, "options") | _table(test, "options")
    if used := sorted(options.keys() & {"transform", "transformVars", "postprocess"}):
        raise ValueError(f"options.{used[0]} runs code, which is not imported")
    ignored = sorted(options.keys() - {"prefix", "suffix"})
    notes += [f"{name}: {key} is ignored, every check must pass" for key in ignored]
    variables = promptfoo_files.variables(default.get("vars"), folder) | promptfoo_files.variables(
        test.get("vars"), folder
    )
    metadata = test.get("metadata")
    category = metadata.get("category") if isinstance(metadata, dict) else None
    assertions = [_with_file(item, folder) for item in (*_list(default, "assert"), *_list(test, "assert"))]
    threshold = test.get("threshold", default.get("threshold"))
    combined, cases = promptfoo_files.combinations(variables), list[Case]()
    for number, values in enumerate(combined, 1):
        where = name if len(combined) == 1 else f"{name}-{number}"
        case_notes = list[str]()
        spoken = name.replace("-", " ")
        if threshold is None:
            checks = [check for item in assertions for check in _checks(item, spoken, values, config, case_notes)]
        else:
            checks = [_weighted({"assert": assertions}, threshold, spoken, values, config, case_notes)]
        notes += [note for note in case_notes if note not in notes]
        if not checks:
            raise ValueError("no assertion that can be imported")
        for index, prompt in enumerate(prompts, 1):
            cases.append(
                Case(
                    id=where if len(prompts) == 1 else f"{where}-{index}",
                    category=str(category or test.get("description") or "all"),
                    checks=tuple(checks),
                    group=where if len(prompts) > 1 else None,
                    **prompt.render(values, str(options.get("prefix") or ""), str(options.get("suffix") or "")),
                )
            )
    return cases


def _table(test: dict[str, Any], key: str) -> dict[str, Any]:
    value = test.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} {str(value)[:60]} is not a table")
    return value


def _list(test: dict[str, Any], key: str) -> list[Any]:
    value = test.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{key} {str(value)[:60]} is not a list")
    return value


def _checks(
    assertion: Any, where: str, values: dict[str, Any], config: dict[str, Any], notes: list[str]
) -> list[AnyCheck]:
    """Return the checks of an assertion; none, and a note, if it cannot be imported."""
    assertion = _referred(assertion, config)
    kind = str(assertion.get("type")) if isinstance(assertion, dict) else str(assertion)[:60]
    if not isinstance(assertion, dict):
        notes.append(f"{where}: {kind} is not imported")
        return []
    positive = kind.removeprefix("not-")
    if refused := _refusal(positive, assertion):
        notes.append(f"{where}: {kind} {refused} is not imported")
        return []
    if kind == "assert-set":
        if assertion.get("threshold") is not None:
            return [_weighted(assertion, assertion["threshold"], where, values, config, notes)]
        nested = assertion.get("assert") or ()
        return [check for item in nested for check in _checks(item, where, values, config, notes)]
    make = CHECKS.get(positive)
    try:
        check = make(promptfoo_files.fill(assertion.get("value"), values), assertion) if make else None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        notes.append(f"{where}: {kind} is not imported: {str(error)[:120]}")
        return []
    if check is None:
        notes.append(f"{where}: {kind} is not imported")
        return []
    if assertion.get("weight", 1) != 1:
        notes.append(f"{where}: weight {assertion['weight']} of {kind} is ignored: every check must pass")
    return [Not(check=check)] if kind != positive else [check]


def _with_file(assertion: Any, folder: Path) -> Any:
    """Return an assertion with the text, or the JSON or YAML, of the file that its value names. Others, such as
    programs, are refused later."""
    if not isinstance(assertion, dict):
        return assertion
    if isinstance(nested := assertion.get("assert"), list):
        return {**assertion, "assert": [_with_file(item, folder) for item in nested]}
    value = assertion.get("value")
    if not isinstance(value, str) or not value.startswith(FILE) or not value.endswith(VALUE_FILES):
        return assertion
    try:
        return {**assertion, "value": promptfoo_files.read_value(folder, value, str(assertion.get("type")))}
    except DataError as error:
        raise ValueError(str(error)) from None


def _referred(assertion: Any, config: dict[str, Any]) -> Any:
    """Return the assertion that a `$ref` names; a sentence if there is none. Other assertions are returned as such."""
    if not isinstance(assertion, dict) or "$ref" not in assertion:
        return assertion
    templates = config.get("assertionTemplates")
    name = str(assertion["$ref"]).removeprefix("#/assertionTemplates/")
    template = templates.get(name) if isinstance(templates, dict) else None
    return template if isinstance(template, dict) else f"$ref {name}: no such assertion template"


def _weighted(
    group: dict[str, Any], threshold: Any, where: str, values: dict[str, Any], config: dict[str, Any], notes: list[str]
) -> Weighted:
    """Return the check of a test or a set with a threshold. Raise ValueError if an assertion that counts cannot be
    imported: the score would be another."""
    members = list[WeightedCheck]()
    for assertion in group.get("assert") or ():
        referred = _referred(assertion, config)
        item = {"type": str(referred)[:60]} if not isinstance(referred, dict) else dict(referred)
        weight, kind, unread = item.pop("weight", 1), str(item.get("type")), list[str]()
        if weight == 0:
            notes.append(f"{where}: {kind} with weight 0, which only informs, is not imported")
            continue
        if not isinstance(weight, int | float) or weight < 0:
            raise ValueError(f"weight {str(weight)[:40]} of {kind} is no positive number")
        if kind == "assert-set":
            check: AnyCheck = _weighted(item, item.get("threshold", 1), where, values, config, unread)
        else:
            checks = [] if kind.removeprefix("not-") in PARTIAL else _checks(item, where, values, config, unread)
            if len(checks) != 1:
                raise ValueError(f"{kind} counts for a threshold and cannot be imported")
            check = checks[0]
        members.append(WeightedCheck(check=check, weight=float(weight)))
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1 or not members:
        raise ValueError(f"threshold {str(threshold)[:40]} of {len(members)} assertions - use one above 0, up to 1")
    return Weighted(checks=tuple(members), threshold=float(threshold))


def _refusal(kind: str, assertion: dict[str, Any]) -> str:
    """Return the part of an assertion that would change its meaning; empty if there is none."""
    if assertion.get("weight") == 0:
        return "with weight 0, which only informs,"
    if "threshold" in assertion and kind not in ("latency", "assert-set"):
        return "with a threshold"
    if other := sorted(map(str, assertion.keys() - PLAIN_KEYS - ({"assert"} if kind == "assert-set" else set()))):
        return f"with {other[0]}"
    if FILE in str(assertion.get("value")):
        return "with a value in another file"
    return ""


def _text(value: Any) -> str:
    """Return a scalar as text. Raise ValueError for tables, lists and null."""
    if value is None or isinstance(value, dict | list):
        raise ValueError(f"the value {str(value)[:60]} is not a text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _equals(value: Any, _: Any) -> AnyCheck:
    return (
        Json(value={"match": "value", "value": value}, find="whole")
        if isinstance(value, dict | list)
        else Equals(text=_text(value))
    )


def _schema(value: Any) -> dict[str, Any] | UnsetType:
    """Return the JSON Schema of an assertion, which may be YAML in a text; UNSET without one. Raise ValueError."""
    import yaml

    try:
        schema = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise ValueError(f"its schema is not YAML: {' '.join(str(error).split())}") from None
    if schema is None:
        return UNSET
    if not isinstance(schema, dict):
        raise ValueError("its schema is not a table")
    schema_validator(json.dumps(schema, sort_keys=True))
    return schema


def _literal(value: Any) -> Any:
    """Return the matcher of exactly this value: a list is a list, not its items as choices."""
    if isinstance(value, dict):
        return TableValue(values={key: _literal(item) for key, item in value.items()})
    return ListValue(items=tuple(value)) if isinstance(value, list) else value


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(_text, value))
    return tuple(part.strip() for part in _text(value).split(","))


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
    call = ExpectedCall(
        name=str(value["name"]),
        arguments={key: _literal(item) for key, item in (value.get("args") or {}).items()},
        more=partial,
    )
    return Calls(calls=(call,), mode="superset")


CHECKS: dict[str, Callable[[Any, Any], AnyCheck]] = {  # type of assertion -> function of its value and the assertion
    "equals": _equals,
    "contains": lambda value, _: Contains(words=(_text(value),), case=True),
    "icontains": lambda value, _: Contains(words=(_text(value),)),
    "contains-all": lambda value, _: Contains(words=_words(value), case=True),
    "contains-any": lambda value, _: Contains(words=_words(value), case=True, mode="any"),
    "icontains-all": lambda value, _: Contains(words=_words(value)),
    "icontains-any": lambda value, _: Contains(words=_words(value), mode="any"),
    "starts-with": lambda value, _: MatchesRegex(pattern=rf"\A{re.escape(_text(value))}"),
    "regex": lambda value, _: MatchesRegex(pattern=_text(value)),
    "is-json": lambda value, _: Json(schema=_schema(value), find="whole"),
    "contains-json": lambda value, _: Json(schema=_schema(value), find="anywhere"),
    "latency": lambda _, assertion: Latency(max=float(assertion["threshold"]) / 1000),
    "finish-reason": lambda value, _: Finish(reason=value),
    "tool-call-f1": _f1,
    "trajectory:tool-used": lambda value, _: Recall(
        tools=_words(value.get("name") if isinstance(value, dict) else value)
    ),
    "trajectory:tool-sequence": _sequence,
    "trajectory:tool-args-match": _arguments,
}
