"""Writing: a suite as the TOML that a person would have written. What is as usual is not said."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, structs

from punie_build.evaluation.checks.matchers import ExactValue, Matcher, OneOf
from punie_build.evaluation.suite import Suite
from punie_build.schema.spec import toml


def suite_to_toml(suite: Suite, about: str) -> str:
    """`about` becomes a comment on top."""
    whole = without_defaults(suite)
    cases = whole.pop("case")
    out = [f"# {line}" for line in about.splitlines()]
    out += [f"{name} = {toml(value)}" for name, value in whole.items() if not _tables(value)]
    for name, value in whole.items():
        if _tables(value):
            out += [line for each in value for line in (f"\n[[{name}]]", *_lines(each))]
    for case in cases:
        out += ["", "[[case]]", *_lines(case)]
    return "\n".join(out) + "\n"


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {toml(value)}" for name, value in table.items()]


def without_defaults(value: Any) -> Any:
    """A spec without what is as usual and what is None, as TOML has no such thing."""
    if isinstance(value, Matcher):
        return _matched(value)
    if isinstance(value, Struct):
        tag = value.__struct_config__.tag
        found = {value.__struct_config__.tag_field: tag} if tag else {}
        for field in structs.fields(value):
            inner = getattr(value, field.name)
            usual = field.default_factory() if field.default_factory is not NODEFAULT else field.default
            if inner is not None and inner != usual:
                found[field.encode_name] = without_defaults(inner)
        return found
    if isinstance(value, dict):
        return {key: without_defaults(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [without_defaults(each) for each in value if each is not None]
    return value


def _matched(value: Matcher) -> Any:
    """A matcher in its shortest form."""
    if isinstance(value, ExactValue) and not isinstance(value.value, dict | list | tuple):
        return value.value
    if isinstance(value, OneOf):
        return [without_defaults(each) for each in value.values]
    plain: dict[str, Any] = {"match": value.__struct_config__.tag}
    for name in value.__struct_fields__:
        inner = getattr(value, name)
        if inner is not None:
            plain[name] = without_defaults(inner) if isinstance(inner, Matcher) else msgspec.to_builtins(inner)
    return plain
