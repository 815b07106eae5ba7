"""Comparison of expected arguments with the declared schemas of tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from punie_build.data.synthetic.declarations import mismatches
from punie_build.evaluation.checks.matchers import (
    MISSING,
    ExactValue,
    ListValue,
    Matcher,
    NumberValue,
    OneOf,
    OptionalValue,
    RegexValue,
    TableValue,
)

TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
EXPECTS: dict[type, tuple[str, str]] = {  # matcher -> the type that it needs, and its name in messages
    TableValue: ("object", "a table"),
    ListValue: ("array", "a list"),
    RegexValue: ("string", "a pattern"),
}


def unfit(expected: Any, schema: Any, where: str) -> Iterator[str]:
    """Yield why no value that is expected is valid by a schema: its type, its enum, or an unknown key of a table."""
    if not isinstance(schema, dict):
        return
    if isinstance(expected, OptionalValue):
        yield from unfit(expected.value, schema, where)
    elif isinstance(expected, OneOf):
        problems = [list(unfit(value, schema, where)) for value in expected.values]
        if all(problems):
            yield from problems[0]
    elif (needed := EXPECTS.get(type(expected))) and not _of_type(schema, needed[0]):
        yield f"{needed[1]} for {where}, which is {_types(schema)}"
    elif isinstance(expected, TableValue):
        yield from _unfit_keys(expected, schema, where)
    elif isinstance(expected, ListValue):
        for number, item in enumerate(expected.items):
            yield from unfit(item, schema.get("items"), f"{where}[{number}]")
    elif isinstance(expected, ExactValue | NumberValue) or not isinstance(expected, Matcher):
        value = expected.example() if isinstance(expected, Matcher) else expected
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        yield from mismatches(where, _known(schema), value)


def _unfit_keys(expected: TableValue, schema: dict[str, Any], where: str) -> Iterator[str]:
    properties = schema.get("properties")
    for key, value in expected.values.items():
        if isinstance(properties, dict) and key in properties:
            yield from unfit(value, properties[key], f"{where}.{key}")
        elif properties and not schema.get("additionalProperties") and not value.matches(MISSING, False):
            yield f"{where}.{key}, which the tool does not declare"


def _types(schema: dict[str, Any]) -> str:
    names = schema.get("type")
    return " or ".join(map(str, names)) if isinstance(names, list) else str(names)


def _of_type(schema: dict[str, Any], name: str) -> bool:
    """Return whether a schema accepts a type; schemas without a type of JSON Schema accept all."""
    names = schema.get("type")
    names = names if isinstance(names, list) else [names]
    return name in names or not all(isinstance(item, str) and item in TYPES for item in names)


def _known(schema: Any) -> Any:
    """Return a schema without types that are not of JSON Schema."""
    if isinstance(schema, dict):
        return {
            key: _known(item)
            for key, item in schema.items()
            if key not in ("type", "enum") or _valid_keyword(key, item)
        }
    return [_known(item) for item in schema] if isinstance(schema, list) else schema


def _valid_keyword(key: str, item: Any) -> bool:
    if key == "enum":
        return isinstance(item, list)
    if isinstance(item, dict):
        return True  # a property that is called `type`
    names = item if isinstance(item, list) else [item]
    return all(isinstance(name, str) and name in TYPES for name in names)
