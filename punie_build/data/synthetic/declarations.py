"""Declarations of tools in OpenAI's form, and the validation of arguments against them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from punie_build.data.json_schema import JSON_TYPES
from punie_build.data.synthetic.editor_tools import TOOLS
from punie_build.errors import did_you_mean

Tool = dict[str, Any]  # {"type": "function", "function": {"name", "description", "parameters": a JSON Schema}}


def declare(function: Callable[..., Any]) -> Tool:
    """Return the declaration of a Python function as a tool.

    It has the function's name, the first paragraph of its docstring, and the types of its parameters. Parameters with
    a default are optional; `Annotated[str, "..."]` describes a parameter. Raises ValueError for a type without a JSON
    Schema.
    """
    hints = get_type_hints(function, include_extras=True)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{function.__name__}.{name}"
        if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{where}: no parameter with a type - annotate it, or write the declaration as a dict")
        properties[name] = _schema(hints[name], where)
        required += [name] if parameter.default is parameter.empty else []
    summary = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    parameters = {"type": "object", "properties": properties, "required": required}
    description = {"description": summary} if summary else {}
    return {"type": "function", "function": {"name": function.__name__, **description, "parameters": parameters}}


def declaration(tool: str | Tool) -> Tool:
    """Return a tool in OpenAI's form, from the name of an editor tool, a declaration, or its `function` alone."""
    if isinstance(tool, str):
        if tool not in TOOLS:
            raise ValueError(f"{tool}: not an editor tool{did_you_mean(tool, TOOLS)}")
        return TOOLS[tool]
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"{str(tool)[:40]}: a declaration without a name - use declare, or OpenAI's form")
    return tool if function is not tool else {"type": "function", "function": tool}


def mismatches(where: str, schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Yield a message for each part of a value that does not match its schema.

    Only `type`, `enum`, `items`, `properties`, `required` and `additionalProperties` are checked.
    """
    declared = schema.get("type") or []
    types = [declared] if isinstance(declared, str) else declared
    if types and not any(_has_type(value, name) for name in types):
        yield f"{where}: {to_json(value)[:40]} is not of type {' or '.join(types)} - correct it"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {to_json(value)[:40]} is not allowed - use one of {to_json(schema['enum'])[1:-1]}"
    elif isinstance(value, dict):
        yield from _property_mismatches(where, schema, value)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from mismatches(f"{where}[{index}]", schema["items"], item)


def _property_mismatches(where: str, schema: dict[str, Any], value: dict[str, Any]) -> Iterator[str]:
    properties = schema.get("properties")
    for name in schema.get("required") or ():
        if name not in value:
            yield f"{where}.{name}: missing - the declaration requires it"
    for name, item in value.items():
        if properties and name in properties:
            yield from mismatches(f"{where}.{name}", properties[name], item)
        elif properties is not None and not schema.get("additionalProperties"):
            yield f"{where}.{name}: unknown{did_you_mean(name, properties) or ' - the tool takes no arguments'}"


def _has_type(value: Any, name: str) -> bool:
    return isinstance(value, JSON_TYPES.get(name, (object,))) and (name == "boolean" or not isinstance(value, bool))


def _schema(hint: Any, where: str) -> dict[str, Any]:
    """Return the JSON Schema of a type, with the description from Annotated."""
    try:
        schema = msgspec.json.schema(hint)
    except TypeError:
        schema = {"$ref": ""}
    if "$ref" in json.dumps(schema):
        raise ValueError(f"{where}: {hint} has no JSON Schema - use plain types, or write the declaration as a dict")
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    description = next((note for note in notes if isinstance(note, str)), None)
    return schema | ({"description": description} if description else {})


def plain_json(value: Any, where: str) -> Any:
    """Return the value as JSON represents it: tuples become lists, keys become strings."""
    return json.loads(checked_json(value, where))


def checked_json(value: Any, where: str) -> str:
    """Return JSON text. Raises ValueError for a value that JSON or UTF-8 cannot represent."""
    try:
        text = to_json(value, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error} - use a value that JSON can represent") from None
    return text


def to_json(value: Any, *, allow_nan: bool = True) -> str:
    """Return JSON text with unescaped Unicode."""
    return json.dumps(value, ensure_ascii=False, allow_nan=allow_nan)
