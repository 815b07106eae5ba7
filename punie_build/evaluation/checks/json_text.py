"""JSON in the text of an answer, and JSON Schemas that it must fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NoReturn

Scope = Literal["whole", "fenced", "anywhere"]
_FENCE = re.compile(r"```(?P<language>\w*)[^\S\n]*\n(?P<code>.*?)```", re.DOTALL)
MAX_STARTS = 1000  # brackets of a text at which JSON is looked for


def json_values(text: str, scope: Scope) -> Iterator[Any]:
    """Yield the JSON values of a text: of all of it, or else of its fences (those marked as JSON first), or else each
    object and list inside it. NaN and Infinity are no JSON."""
    values = list(_read([text]))
    if not values and scope != "whole":
        fences = [(match["language"].lower() == "json", match["code"]) for match in _FENCE.finditer(text)]
        marked = [code for is_json, code in fences if is_json]
        values = list(_read(marked or [code for _, code in fences]))
    if not values and scope == "anywhere":
        values = list(_inside(text))
    yield from values


def _read(texts: list[str]) -> Iterator[Any]:
    for text in texts:
        try:
            yield json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue


def _inside(text: str) -> Iterator[Any]:
    """Yield the objects and lists in a text that are not inside another."""
    decoder, position = json.JSONDecoder(parse_constant=_refuse), 0
    for _ in range(MAX_STARTS):
        start = re.compile(r"[{\[]").search(text, position)
        if start is None:
            return
        try:
            value, position = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.end()
        else:
            yield value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def schema_mistake(schema: dict[str, Any], value: Any) -> str:
    """Return where a value does not fit a JSON Schema, and why; empty if it fits. Raise ValueError for an invalid
    schema."""
    validator = schema_validator(json.dumps(schema, sort_keys=True))
    try:
        error = next(iter(validator.iter_errors(value)), None)
    except (ValueError, RecursionError) as failure:  # nested too deeply, or an integer of hundreds of digits
        return str(failure)[:200]
    if error is None:
        return ""
    return f"${''.join(f'[{part!r}]' for part in error.instance_path)}: {error.message}"[:300]


@lru_cache(maxsize=1024)
def schema_validator(schema: str) -> Any:
    """Return the validator of a JSON Schema, which checks formats too. Raise ValueError for an invalid one, or one that
    refers to another file or address: none is read."""
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(json.loads(schema), validate_formats=True, retriever=_not_here)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"no valid JSON Schema: {str(error).partition(chr(10))[0]}") from None


def _not_here(address: str) -> NoReturn:
    raise ValueError(f"{address} is not in the schema")
