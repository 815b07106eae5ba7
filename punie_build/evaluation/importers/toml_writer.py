"""Writer of suites as TOML, without values that are defaults."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, structs

from punie_build.errors import DataError
from punie_build.evaluation.checks.matchers import ExactValue, ListValue, Matcher, OneOf, TableValue
from punie_build.evaluation.suite import Suite
from punie_build.schema.spec import toml


def suite_to_toml(suite: Suite, comment: str) -> str:
    """Return the text of a suite file, with a comment on top, after it was read back. Raise DataError if it differs."""
    table = without_defaults(suite)
    cases = table.pop("case")
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{name} = {toml(value)}" for name, value in table.items() if not _is_array_of_tables(value)]
    arrays = {name: value for name, value in table.items() if _is_array_of_tables(value)}
    for name, tables in arrays.items():
        lines += [line for item in tables for line in (f"\n[[{name}]]", *_key_values(item))]
    for case in cases:
        lines += ["", "[[case]]", *_key_values(case)]
    text = "\n".join(lines) + "\n"
    _require_equal(text, suite)
    return text


def _require_equal(text: str, suite: Suite) -> None:
    """Read a suite file back. Raise DataError if it is not TOML, or another suite than was written."""
    try:
        again = msgspec.convert(tomllib.loads(text), Suite)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DataError(f"the suite cannot be written as TOML: {error} - correct the source file") from None
    different = [case.id for case, read in zip(suite.cases, again.cases, strict=True) if case != read]
    if different or again != suite:
        names = ", ".join(different[:5]) or "its tools or its system prompt"
        raise DataError(f"the suite reads back differently from TOML: {names} - remove null and NaN from the source")


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key_values(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {toml(value)}" for name, value in table.items()]


def without_defaults(value: Any) -> Any:
    """Return a spec as tables and lists, without defaults and without None, which TOML does not have."""
    if isinstance(value, Matcher):
        return _shortest_form(value)
    if isinstance(value, Struct):
        tag = value.__struct_config__.tag
        table = {value.__struct_config__.tag_field: tag} if tag else {}
        for field in structs.fields(value):
            item = getattr(value, field.name)
            default = field.default_factory() if field.default_factory is not NODEFAULT else field.default
            if item is not None and item != default:
                table[field.encode_name] = without_defaults(item)
        return table
    if isinstance(value, dict):
        return {key: without_defaults(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_defaults(item) for item in value if item is not None]
    return value


def _shortest_form(matcher: Matcher) -> Any:
    """Return the shortest form of a matcher: a value, a list of values, or a table."""
    if isinstance(matcher, ExactValue) and not isinstance(matcher.value, dict | list | tuple):
        return matcher.value
    if isinstance(matcher, OneOf):
        return [_item_form(value) for value in matcher.values]
    if isinstance(matcher, TableValue):
        values = {key: _shortest_form(value) for key, value in matcher.values.items()}
        return values if values and "match" not in values else {"match": "table", "values": values}
    if isinstance(matcher, ListValue):
        return {"match": "list", "items": [_item_form(item) for item in matcher.items]}
    table: dict[str, Any] = {"match": matcher.__struct_config__.tag}
    for name in matcher.__struct_fields__:
        item = getattr(matcher, name)
        if item is not None:
            table[name] = _shortest_form(item) if isinstance(item, Matcher) else msgspec.to_builtins(item)
    return table


def _item_form(item: Any) -> Any:
    """Return an item of a list, in which a list is a value."""
    if isinstance(item, ListValue):
        return [_item_form(inner) for inner in item.items]
    if isinstance(item, OneOf):
        return {"match": "one-of", "values": [_item_form(value) for value in item.values]}
    return _shortest_form(item) if isinstance(item, Matcher) else without_defaults(item)
