"""The part of Jinja and Nunjucks templates that only inserts values: paths, simple filters and methods of texts.

    {{ name }}   {{ doc.question.strip() }}   {{ choices[gold] }}   {{ name | upper }}

Blocks, calculations and every other filter are refused with their text, because a wrong prompt is worse than none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

TEMPLATE = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)
BLOCK = re.compile(r"\{[%#].*?[}%#]\}", re.DOTALL)
_INSERTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = r"""'[^']*'|"[^"]*\""""
_STEP = re.compile(
    rf"""\s*(?:\.(?P<method>strip|lstrip|rstrip|lower|upper|title|trim)\(\)|\.(?P<key>[A-Za-z_]\w*)(?!\s*\()"""
    rf"""|\[\s*(?P<index>-?\d+|{_TEXT}|[A-Za-z_]\w*)\s*\]"""
    rf"""|\|\s*(?P<filter>\w+)(?:\(\s*(?P<argument>{_TEXT})?\s*\))?)"""
)
_METHODS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lstrip": str.lstrip,
    "rstrip": str.rstrip,
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "trim": str.strip,
}
_FILTERS: dict[str, Callable[[Any], Any]] = {
    **_METHODS,
    "dump": partial(json.dumps, ensure_ascii=False),
    "tojson": partial(json.dumps, ensure_ascii=False),
    "string": lambda value: as_text(value, ""),
    "safe": lambda value: value,
    "length": len,
    "first": lambda value: value[0],
    "last": lambda value: value[-1],
}


def render(text: str, values: dict[str, Any]) -> str:
    """Return a template with its values. Raise ValueError with the part that is not understood."""
    return _INSERTION.sub(lambda match: as_text(evaluate(match[1], values, match[0]), match[0]), text)


def render_all(text: str, values: dict[str, Any]) -> str:
    """Return a template with its values, and the values of templates in these. Raise ValueError for others."""
    for _ in range(4):
        if not TEMPLATE.search(text):
            return text
        text = render(text, values)
    if match := TEMPLATE.search(text):
        raise not_understood(match[0])
    return text


def evaluate(expression: str, values: dict[str, Any], template: str) -> Any:
    """Return the value of an expression. Raise ValueError."""
    start = _NAME.match(expression := expression.strip())
    if start is None or start[0] not in values:
        raise not_understood(template)
    value, position = values[start[0]], start.end()
    while position < len(expression):
        step = _STEP.match(expression, position)
        if step is None:
            raise not_understood(template)
        position = step.end()
        try:
            value = _next(value, step, values)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise not_understood(template) from None
    return value


def _next(value: Any, step: re.Match[str], values: dict[str, Any]) -> Any:
    if step["method"]:
        return _METHODS[step["method"]](value)
    if step["key"]:
        return value[step["key"]]
    if index := step["index"]:
        if index[0] in "'\"":
            return value[index[1:-1]]
        return value[int(index) if index.lstrip("-").isdigit() else values[index]]
    if step["filter"] == "join":
        return (step["argument"] or "''")[1:-1].join(as_text(item, "") for item in value)
    if step["argument"] is not None:
        raise ValueError(step["filter"])
    return _FILTERS[step["filter"]](value)


def as_text(value: Any, template: str) -> str:
    """Return a scalar as text. Raise ValueError for tables, lists and null."""
    if value is None or isinstance(value, dict | list):
        name = template.strip("{-} ")
        raise ValueError(f"the variable {name[:60]} is no text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def not_understood(template: str) -> ValueError:
    """Return the error for a part of a template."""
    return ValueError(f"the template {template[:60]} is not understood - write its text")
