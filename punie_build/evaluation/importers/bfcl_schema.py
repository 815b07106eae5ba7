"""Declarations of tools of the Berkeley leaderboard, which have Python names of types, as JSON Schema."""

from __future__ import annotations

from typing import Any

TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def declaration(function: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAI declaration of a function."""
    return {"type": "function", "function": {**function, "parameters": _schema(function.get("parameters") or {})}}


def _schema(value: Any) -> Any:
    """Replace Python names of types by those of JSON Schema."""
    if isinstance(value, dict):
        items = {key: item for key, item in value.items() if not (key == "type" and item == "any")}
        return {
            key: TYPES.get(item, item) if key == "type" and isinstance(item, str) else _schema(item)
            for key, item in items.items()
        }
    return [_schema(item) for item in value] if isinstance(value, list) else value
