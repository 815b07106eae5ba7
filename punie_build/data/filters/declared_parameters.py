"""The parameters of a tool's declaration as JSON Schema, from the forms in which data sets write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
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
    "map": "object",
    "hashmap": "object",
    "list": "array",
    "set": "array",
    "tuple": "array",
    "arraylist": "array",
    "nonetype": "null",
    "none": "null",
}
TYPES = frozenset(["string", "integer", "number", "boolean", "object", "array", "null"])
_OBJECT_KEYWORDS = {  # of which the value is an object
    "properties", "patternProperties", "additionalProperties", "$defs", "definitions", "items", "not", "if", "then",
    "else", "contains", "propertyNames", "dependentSchemas", "dependentRequired", "dependencies",
    "unevaluatedProperties"
}  # fmt: skip
_NOTE = re.compile(r",\s*(?:optional|required)\b.*|\((?:optional|required)\)")
_GENERIC = re.compile(r"(\w+)\s*[\[<](.*)[\]>]")


def parameter_schema(parameters: Any) -> Any:
    """Return the declared parameters as a schema: an object, its JSON text, a list of parameters, or none.

    An object whose values are all objects has the parameters themselves, without `properties` around them.
    """
    if isinstance(parameters, str):
        with suppress(msgspec.DecodeError, RecursionError):
            parameters = msgspec.json.decode(parameters)
    if isinstance(parameters, list):
        named = [item for item in parameters if isinstance(item, dict) and isinstance(item.get("name"), str)]
        if len(named) < len(parameters):
            return None
        parameters = {item["name"]: {key: item[key] for key in item if key != "name"} for item in named}
        return {"type": "object", "properties": parameters}
    if not isinstance(parameters, dict):
        return None
    is_bare = parameters.keys() - _OBJECT_KEYWORDS and all(isinstance(value, dict) for value in parameters.values())
    return {"type": "object", "properties": parameters} if is_bare else parameters


def json_types(declared: Any) -> list[str]:
    """Return the types of JSON Schema for a declared type; an empty list if any type is allowed or one is unknown."""
    names = declared if isinstance(declared, list) else [declared]
    types = [type_ for name in names for type_ in _types_of_name(name)]
    return sorted(set(types)) if all(type_ in TYPES for type_ in types) else []


def required_names(schema: dict[str, Any]) -> list[str]:
    """Return the names of required properties: listed, alone as a text, or marked in the property as in draft 3."""
    listed = schema.get("required")
    names = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    properties = schema.get("properties")
    marked = properties.items() if isinstance(properties, dict) else ()
    required = [name for name, item in marked if isinstance(item, dict) and item.get("required") is True]
    return sorted({name for name in (*names, *required) if isinstance(name, str)})


def is_nullable(schema: dict[str, Any]) -> bool:
    """Whether a schema accepts null by the keyword of OpenAPI."""
    return any(schema.get(key) in (True, "true") for key in ("nullable", "x-nullable"))


def _types_of_name(name: Any) -> Iterator[str]:
    """Yield the types of a name, "" for one that is not known: `str, optional`, `List[str]`, `int | None`."""
    text = _NOTE.sub("", name.lower()).strip() if isinstance(name, str) else ""
    generic = _GENERIC.fullmatch(text)
    if generic and generic[1] in ("optional", "union"):
        yield from (type_ for part in _parts(generic[2], ",") for type_ in _types_of_name(part))
        if generic[1] == "optional":
            yield "null"
    elif len(parts := _parts(text.replace(" or ", "|"), "|")) > 1:
        yield from (type_ for part in parts for type_ in _types_of_name(part))
    else:
        base = "array" if text.endswith("[]") else generic[1] if generic else text
        yield TYPE_NAMES.get(base, base)


def _parts(text: str, mark: str) -> list[str]:
    """Return the parts of a text between marks that are in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[<(") - (letter in "]>)")
        if letter == mark and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
