"""Declarations of tools of the Berkeley leaderboard, which have names of types of Python, Java and JavaScript, as JSON
Schema."""

from __future__ import annotations

from typing import Any

TYPES = {
    "dict": "object",
    "HashMap": "object",
    "Hashtable": "object",
    "list": "array",
    "tuple": "array",
    "Array": "array",
    "ArrayList": "array",
    "Set": "array",
    "Queue": "array",
    "Stack": "array",
    "float": "number",
    "double": "number",
    "byte": "integer",
    "short": "integer",
    "long": "integer",
    "Bigint": "integer",
    "bool": "boolean",
    "Boolean": "boolean",
    "String": "string",
    "char": "string",
}
ANY = ("any", "Any")
HINT = " Note that the provided function is in Python 3 syntax."  # which the leaderboard adds to each description


def json_type(schema: Any) -> str:
    """Return the type of JSON Schema of a parameter; empty if it may have any."""
    name = schema.get("type") if isinstance(schema, dict) else None
    return TYPES.get(name, name) if isinstance(name, str) and name not in ANY else ""


def declaration(function: dict[str, Any], hint: str = HINT) -> dict[str, Any]:
    """Return the OpenAI declaration of a function, with a hint at the end of its description."""
    parts = {
        "description": f"{function.get('description') or ''}{hint}",
        "parameters": function.get("parameters") or {},
    }
    return {"type": "function", "function": {**function, **parts, "parameters": _schema(parts["parameters"])}}


def _schema(value: Any) -> Any:
    """Replace names of types by those of JSON Schema."""
    if isinstance(value, dict):
        items = {key: item for key, item in value.items() if not (key == "type" and item in ANY)}
        return {
            key: TYPES.get(item, item) if key == "type" and isinstance(item, str) else _schema(item)
            for key, item in items.items()
        }
    return [_schema(item) for item in value] if isinstance(value, list) else value
