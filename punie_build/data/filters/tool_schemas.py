"""Validators of the arguments of tool calls, by the JSON Schema in the declarations of the tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

TYPE_NAMES = {  # other names of types: Python's, those of Gemini (in capitals) and of the Berkeley leaderboard
    "str": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "dict": "object",
    "hashmap": "object",
    "list": "array",
    "tuple": "array",
    "arraylist": "array",
    "nonetype": "null",
    "none": "null",
}
TYPES = frozenset(["string", "integer", "number", "boolean", "object", "array", "null"])
_SCHEMAS = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_TABLES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_PLAIN = ("type", "properties", "required", "enum", "items", "nullable")
_OPEN = {"additionalProperties", "unevaluatedProperties"}  # say whether others are accepted
MAX_DEPTH = 100

Validate = Callable[[Any], bool]


def argument_validator(parameters: dict[str, Any], unknown: bool) -> Validate:
    """Return the test of arguments by the schema. With `unknown = false` undeclared arguments are not accepted.

    A keyword that no draft of JSON Schema accepts, such as an unknown type or a reference to another file, constrains
    nothing. No file is read and no address is requested.
    """
    return _validator(msgspec.json.encode(parameters), unknown)


@lru_cache(maxsize=4096)
def _validator(schema_json: bytes, unknown: bool) -> Validate:
    import jsonschema_rs as schemas

    drafts = (schemas.Draft202012Validator, schemas.Draft7Validator, schemas.Draft4Validator)
    for schema in _candidates(msgspec.json.decode(schema_json), unknown):
        for draft in drafts:
            try:
                return _test(draft(schema, retriever=_refuse))
            except (ValueError, schemas.ReferencingError):
                continue
    return lambda arguments: True


def _candidates(parameters: dict[str, Any], unknown: bool) -> Iterator[dict[str, Any]]:
    """Yield the schema in standard form, and two forms with fewer keywords for schemas that are not valid."""
    yield _standard(parameters, unknown=unknown)
    yield _standard(_without(parameters, ("$ref", "$schema", "$id", "pattern", "patternProperties")), unknown=unknown)
    yield _standard(_only_plain(parameters), unknown=unknown)


def _test(validator: Any) -> Validate:
    def validate(arguments: Any) -> bool:
        try:
            return bool(validator.is_valid(arguments))
        except (ValueError, RecursionError):  # nested too deeply, or an integer of hundreds of digits
            return False

    return validate


def _refuse(address: str) -> Any:
    raise ValueError(f"{address}: not in the schema")


def _standard(schema: Any, unknown: bool, depth: int = 0, branch: bool = False) -> Any:
    """Return the schema with the types, the `nullable` and the `required` of JSON Schema.

    With `unknown = false`, objects with declared properties accept no others, unless the schema says so. `branch`
    is true inside `allOf` and its like, where the properties of the other branches are not known.
    """
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema if isinstance(schema, bool) else {}
    standard = {key: value for key, value in schema.items() if key not in ("nullable", "required", "type")}
    standard |= {key: _standard(value, unknown, depth + 1) for key, value in standard.items() if key in _SCHEMAS}
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            inner = key not in ("prefixItems", "items")
            standard[key] = [_standard(item, unknown, depth + 1, branch=inner) for item in schema[key]]
    for key in _TABLES:
        if isinstance(schema.get(key), dict):
            inner = key in ("$defs", "definitions", "dependentSchemas")
            standard[key] = {name: _standard(item, unknown, depth + 1, inner) for name, item in schema[key].items()}
    if isinstance(schema.get("required"), list):
        standard["required"] = sorted({name for name in schema["required"] if isinstance(name, str)})
    if types := _types(schema.get("type")):
        standard["type"] = types
    if not (unknown or branch) and isinstance(schema.get("properties"), dict) and not _OPEN & schema.keys():
        standard["unevaluatedProperties"] = False
    return _nullable(standard) if schema.get("nullable") is True else standard


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that accepts null too. Its definitions stay at the root, where references find them."""
    definitions: dict[str, Any] = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
    return {"anyOf": [{"type": "null"}, schema], **definitions}


def _types(declared: Any) -> list[str]:
    """Return the types of JSON Schema for a declared type; an empty list if any type is allowed or one is unknown."""
    names = declared if isinstance(declared, list) else [declared]
    types = [_type(name) for name in names]
    return sorted(set(types)) if all(name in TYPES for name in types) else []


def _type(name: Any) -> str:
    lower = name.lower() if isinstance(name, str) else ""
    return TYPE_NAMES.get(lower, lower)


def _without(schema: Any, keywords: tuple[str, ...], depth: int = 0) -> Any:
    """Return the schema without these keywords, at any depth."""
    if isinstance(schema, dict) and depth < MAX_DEPTH:
        items = ((key, value) for key, value in schema.items() if key not in keywords or isinstance(value, bool))
        return {key: _without(value, keywords, depth + 1) for key, value in items}
    return [_without(item, keywords, depth + 1) for item in schema] if isinstance(schema, list) else schema


def _only_plain(schema: Any, depth: int = 0) -> Any:
    """Return the schema with types, properties, required names, enums and items alone."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {}
    plain = {key: schema[key] for key in _PLAIN if key in schema}
    if isinstance(properties := plain.pop("properties", None), dict):
        plain["properties"] = {name: _only_plain(item, depth + 1) for name, item in properties.items()}
    if "items" in plain:
        plain["items"] = _only_plain(plain["items"], depth + 1)
    if not isinstance(plain.get("enum", []), list) or not plain.get("enum", [0]):
        del plain["enum"]
    return plain
