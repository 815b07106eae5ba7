"""Validators of the arguments of tool calls, by the JSON Schema in the declarations of the tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from punie_build.data.filters.declared_parameters import is_nullable, json_types, parameter_schema, required_names

_SCHEMAS = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_TABLES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_PLAIN = ("type", "properties", "required", "enum", "items", "nullable", "x-nullable")
_OPEN = {"additionalProperties", "unevaluatedProperties"}  # say whether others are accepted
_REWRITTEN = ("nullable", "x-nullable", "required", "type")
MAX_DEPTH = 100
MAX_BRANCHES = 8  # references and branches that are followed to find properties

Validate = Callable[[Any], bool]


def argument_validator(parameters: Any, unknown: bool) -> Validate:
    """Return the test of arguments by a declaration. With `unknown = false` undeclared arguments are not accepted.

    A keyword that no draft of JSON Schema accepts, such as an unknown type or a reference to another file, constrains
    nothing. No file is read and no address is requested.
    """
    return _validator(msgspec.json.encode(parameters), unknown)


@lru_cache(maxsize=4096)
def _validator(schema_json: bytes, unknown: bool) -> Validate:
    import jsonschema_rs as schemas

    parameters = parameter_schema(msgspec.json.decode(schema_json))
    if not isinstance(parameters, dict):
        return lambda arguments: True
    drafts = (schemas.Draft202012Validator, schemas.Draft7Validator, schemas.Draft4Validator)
    for schema in _candidates(parameters, unknown):
        for draft in drafts:
            try:
                return _test(draft(schema, retriever=_refuse))
            except (ValueError, schemas.ReferencingError):
                continue
    return lambda arguments: True


def _candidates(parameters: dict[str, Any], unknown: bool) -> Iterator[dict[str, Any]]:
    """Yield the schema in standard form, and two forms with fewer keywords for schemas that are not valid."""
    without = _without(parameters, ("$ref", "$schema", "$id", "pattern", "patternProperties"))
    for schema in (parameters, without, _only_plain(parameters)):
        yield _standard(schema, unknown, schema)


def _test(validator: Any) -> Validate:
    def validate(arguments: Any) -> bool:
        try:
            return bool(validator.is_valid(arguments))
        except (ValueError, RecursionError):  # nested too deeply, or an integer of hundreds of digits
            return False

    return validate


def _refuse(address: str) -> Any:
    raise ValueError(f"{address}: not in the schema")


def _standard(schema: Any, unknown: bool, root: Any, depth: int = 0, branch: bool = False) -> Any:
    """Return the schema with the types, the `nullable` and the `required` of JSON Schema.

    With `unknown = false`, objects with declared properties accept no others, unless the schema says so. `branch`
    is true inside `allOf` and its like, where the properties of the other branches are not known: the schema around
    them accepts no others. References are to parts of `root`.
    """
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema if isinstance(schema, bool) else {}
    standard = {key: value for key, value in schema.items() if key not in _REWRITTEN}
    standard |= {key: _standard(value, unknown, root, depth + 1) for key, value in standard.items() if key in _SCHEMAS}
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            inner = key not in ("prefixItems", "items")
            standard[key] = [_standard(item, unknown, root, depth + 1, branch=inner) for item in schema[key]]
    for key in _TABLES:
        if isinstance(schema.get(key), dict):
            inner = key in ("$defs", "definitions", "dependentSchemas")
            standard[key] = {
                name: _standard(item, unknown, root, depth + 1, inner) for name, item in schema[key].items()
            }
    if required := required_names(schema):
        standard["required"] = required
    if types := json_types(schema.get("type")):
        standard["type"] = types
    if not (unknown or branch or _OPEN & schema.keys()) and _declares_all(schema, root):
        standard["unevaluatedProperties"] = False
    return _nullable(standard) if is_nullable(schema) else standard


def _declares_all(schema: Any, root: Any, depth: int = 0) -> bool:
    """Whether a schema declares the properties of all objects that it accepts, itself or by its branches."""
    if not isinstance(schema, dict) or depth > MAX_BRANCHES:
        return False
    if isinstance(schema.get("properties"), dict):
        return True
    if isinstance(schema.get("$ref"), str) and _declares_all(_referred(root, schema["$ref"]), root, depth + 1):
        return True
    if any(_declares_all(item, root, depth + 1) for item in _branches(schema, "allOf")):
        return True
    objects = [item for key in ("anyOf", "oneOf") for item in _branches(schema, key) if _may_be_object(item)]
    return bool(objects) and all(_declares_all(item, root, depth + 1) for item in objects)


def _branches(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _may_be_object(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    types = json_types(schema.get("type"))
    return not {"enum", "const"} & schema.keys() and (not types or "object" in types)


def _referred(root: Any, reference: str) -> Any:
    """Return the part of the schema that a reference such as `#/$defs/node` names; None without one."""
    part = root
    for key in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else ("",):
        part = part.get(key) if isinstance(part, dict) else None
    return part


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that accepts null too. Its definitions stay at the root, where references find them."""
    definitions: dict[str, Any] = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
    return {"anyOf": [{"type": "null"}, schema], **definitions}


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
