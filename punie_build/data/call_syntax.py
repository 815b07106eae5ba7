"""The syntaxes in which bases write calls behind the mark of a call: JSON, Python, tagged parameters, Gemma's own.

A syntax is a function of the text, the position behind the mark, and the properties of the declared tools by the tool's
name. It returns the calls and the position behind them, and raises ValueError if they are malformed.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.json_values import parse_strict, parse_value_at, skip_whitespace, to_arguments
from punie_build.data.tool_call_markup.qwen3_coder import parse_function
from punie_build.data.tool_call_markup.span import ParseContext, strip_line_breaks

Properties = Mapping[str, dict[str, Any]]
Found = tuple[list[ToolCall], int]
Syntax = Callable[[str, int, Properties], Found]
NAMES, ARGUMENTS = ("name", "tool_name", "tool", "function"), ("arguments", "parameters")
NO_CALLS = ("directly_answer", "directly-answer")  # Command R writes an answer as a call of this tool
_NAME = r"[\w.:/-]+"
_PYTHON_NAMES = {"true": True, "false": False, "null": None, "nan": None}


def json_calls(text: str, start: int, properties: Properties) -> Found:
    """Parse calls as JSON objects, or lists of them, one after another, with separators between."""
    calls, position = list[ToolCall](), start
    while True:
        value, position = parse_value_at(text, skip_whitespace(text, position))
        calls += [call for item in (value if isinstance(value, list) else [value]) for call in _json_call(item)]
        if not (separator := re.compile(r"\s*[;,]?\s*(?=\{)").match(text, position)):
            return calls, position
        position = separator.end()


def is_json_call(value: Any) -> bool:
    """Return whether a JSON value is a call, or a list of calls, not another answer."""
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(
        isinstance(item, dict) and _first(item, NAMES) is not None and _first(item, ARGUMENTS) is not None
        for item in items
    )


def _json_call(item: Any) -> Iterator[ToolCall]:
    if not isinstance(item, dict):
        raise ValueError(f"{type(item).__name__} instead of a call")
    if isinstance(item.get("function"), dict):
        item = item["function"]
    name, arguments = _first(item, NAMES), _first(item, ARGUMENTS)
    if name is None and len(item) == 1:  # Apertus: {name: arguments}
        [(name, arguments)] = item.items()
    if not isinstance(name, str) or not name:
        raise ValueError("a call without a name")
    if name not in NO_CALLS:
        yield ToolCall(name, to_arguments(arguments))


def _first(item: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((item[key] for key in keys if key in item), None)


def named_json(name: str, separator: str) -> Syntax:
    """Return the syntax of a name by a pattern with one group, a separator by a pattern, and JSON arguments."""
    head = re.compile(rf"\s*{name}\s*{separator}\s*")

    def parse(text: str, start: int, properties: Properties) -> Found:
        calls, position = list[ToolCall](), start
        while match := head.match(text, position):
            value, position = parse_value_at(text, match.end())
            calls.append(ToolCall(match[1], to_arguments(value)))
        if not calls:
            raise ValueError(f"no name and arguments: {text[start : start + 40]!r}")
        return calls, position

    return parse


def json_or(other: Syntax) -> Syntax:
    """Return a syntax whose calls are JSON, or in another syntax."""

    def parse(text: str, start: int, properties: Properties) -> Found:
        first = re.compile(r"\s*(?:\{|\[\s*\{)").match(text, start)
        return (json_calls if first else other)(text, start, properties)

    return parse


def python_calls(text: str, start: int, properties: Properties) -> Found:
    """Parse calls as a Python list of calls `[name(key=value)]`, or as one such call."""
    position = skip_whitespace(text, start)
    closing = re.compile(r"\)\s*,?\s*\]|\[\s*\]" if text.startswith("[", position) else r"\)")
    for match in closing.finditer(text, position):
        source = text[position : match.end()]
        body = _expression(source) or _expression(source.replace("\n", "\\n"))  # LFM2.5 writes them into strings
        if body is None:
            continue
        nodes = body.elts if isinstance(body, ast.List) else [body]
        return [_python_call(node) for node in nodes], match.end()
    raise ValueError(f"no Python calls: {text[start : start + 40]!r}")


def _expression(source: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            [statement] = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return statement.value if isinstance(statement, ast.Expr) else None


def python_lines(text: str, start: int, properties: Properties) -> Found:
    """Parse calls as Python writes them, one on each line (OLMo 3)."""
    calls, position = list[ToolCall](), start
    while not calls or re.compile(rf"\s*{_NAME}\(").match(text, position):
        more, position = python_calls(text, position, properties)
        calls += more
    return calls, position


def _python_call(node: ast.expr | None) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("not a call with named arguments")
        try:
            arguments[keyword.arg] = _json_value(ast.literal_eval(_Literals().visit(keyword.value)))
        except (TypeError, MemoryError):
            raise ValueError("an argument that is no value") from None
    return ToolCall(ast.unparse(node.func), arguments)


def _json_value(value: Any) -> Any:
    """Return a value of Python as JSON has it. Raises ValueError for others, such as sets and bytes."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{type(value).__name__} is no value of JSON")


class _Literals(ast.NodeTransformer):
    """Replace the literals of JSON, which templates write inside values."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_PYTHON_NAMES[node.id]) if node.id in _PYTHON_NAMES else node


def function_tag(text: str, start: int, properties: Properties) -> Found:
    """Parse `<function=name>`, with a `<parameter=key>` for each argument or with JSON; `start` is at the tag."""
    span = parse_function(text, skip_whitespace(text, start), ParseContext(dict(properties)))
    if not span.calls:
        raise ValueError("no <function=...>, or never closed")
    return list(span.calls), span.end


def tagged_pairs(prefix: str = "", suffix: str = "") -> Syntax:
    """Return the syntax of a name and pairs of `<arg_key>` and `<arg_value>`, up to a closing tag (GLM, LongCat,
    Hunyuan 3)."""
    key, value, end = f"{prefix}arg_key{suffix}", f"{prefix}arg_value{suffix}", f"</{prefix}tool_call{suffix}>"
    head, closing = re.compile(rf"\s*({_NAME})\s*(?:<tool_sep{suffix}>\s*)?(?=<)"), re.compile(rf"\s*{end}")
    pair = re.compile(rf"\s*<{key}>(.*?)</{key}>\s*<{value}>(.*?)</{value}>(?=\s*(?:<{key}>|{end}|\Z))", re.DOTALL)

    def parse(text: str, start: int, properties: Properties) -> Found:
        if not (name := head.match(text, start)):
            raise ValueError("a call without a name")
        arguments, position = dict[str, Any](), name.end()
        while match := pair.match(text, position):
            arguments[match[1].strip()] = typed(match[2], properties.get(name[1], {}).get(match[1].strip()))
            position = match.end()
        if not closing.match(text, position):
            raise ValueError(f"a call of {name[1]} that is never closed, or has more than pairs")
        return [ToolCall(name[1], arguments)], position

    return parse


def invoke_tags(call: str = "invoke", parameter: str = "parameter", prefix: str = "") -> Syntax:
    """Return the syntax of `<invoke name="..">` with a `<parameter name="..">` for each argument (MiniMax, DeepSeek
    V3.2)."""
    opening = re.compile(rf"\s*<{prefix}{call} name=\"?([^\">]+)\"?>")
    pair = re.compile(
        rf"\s*<{prefix}{parameter} name=\"?([^\">]+?)\"?(?: string=\"(\w+)\")?>(.*?)</{prefix}{parameter}>"
        rf"(?=\s*(?:<{prefix}{parameter} name|</{prefix}{call}>))",
        re.DOTALL,
    )
    closing = re.compile(rf"\s*</{prefix}{call}>")

    def parse(text: str, start: int, properties: Properties) -> Found:
        calls, position = list[ToolCall](), start
        while match := opening.match(text, position):
            name, arguments, position = match[1], dict[str, Any](), match.end()
            while argument := pair.match(text, position):
                schema = {"type": "string"} if argument[2] == "true" else properties.get(name, {}).get(argument[1])
                arguments[argument[1]] = typed(argument[3], schema)
                position = argument.end()
            if not (end := closing.match(text, position)):
                raise ValueError(f"a call of {name} that is never closed, or has more than parameters")
            calls.append(ToolCall(name, arguments))
            position = end.end()
        if not calls:
            raise ValueError("no call")
        return calls, position

    return parse


def typed(text: str, schema: Any) -> Any:
    """Return a text as its JSON value, unless the schema declares a string or it is no JSON."""
    declared = schema.get("type") if isinstance(schema, dict) else None
    if declared in ("string", ["string"]):
        return re.sub(r"\A<!\[CDATA\[(.*)\]\]>\Z", r"\1", text, flags=re.DOTALL)
    try:
        return parse_strict(text)
    except ValueError:
        return strip_line_breaks(text)


def gemma_calls(quote: str) -> Syntax:
    """Return the syntax `call:name{key:value}`, whose strings stand between quotes of its own."""
    head = re.compile(rf"\s*call:({_NAME})(?=\{{)")

    def parse(text: str, start: int, properties: Properties) -> Found:
        calls, position = list[ToolCall](), start
        while match := head.match(text, position):
            value, position = _gemma_value(text, match.end(), quote)
            calls.append(ToolCall(match[1], value))
        if not calls:
            raise ValueError("no call:name{...}")
        return calls, position

    return parse


def _gemma_value(text: str, start: int, quote: str) -> tuple[Any, int]:
    """Parse the value at a position, and return it with its end."""
    position = skip_whitespace(text, start)
    if text.startswith(quote, position):
        end = text.find(quote, position + len(quote))
        if end < 0:
            raise ValueError("a string that is never closed")
        return text[position + len(quote) : end], end + len(quote)
    if text[position : position + 1] not in ("{", "["):
        return _gemma_scalar(text, position)
    closing, items, entries = {"{": "}", "[": "]"}[text[position]], list[Any](), dict[str, Any]()
    is_object = closing == "}"
    position = skip_whitespace(text, position + 1)
    while not text.startswith(closing, position):
        key = ""
        if is_object:
            key, position = _gemma_key(text, position, quote)
        value, position = _gemma_value(text, position, quote)
        entries[key] = value
        items.append(value)
        position = skip_whitespace(text, position)
        if text.startswith(",", position):
            position = skip_whitespace(text, position + 1)
        elif not text.startswith(closing, position):
            raise ValueError(f"neither , nor {closing}: {text[position : position + 20]!r}")
    return (entries if is_object else items), position + 1


def _gemma_key(text: str, start: int, quote: str) -> tuple[str, int]:
    if text.startswith((quote, '"'), start):
        key, position = _gemma_value(text, start, quote)
    else:
        end = text.find(":", start)
        key, position = text[start:end].strip(), end if end >= 0 else len(text)
    position = skip_whitespace(text, position)
    if not text.startswith(":", position):
        raise ValueError(f"a key without a value: {text[start : start + 20]!r}")
    return str(key), position + 1


def _gemma_scalar(text: str, start: int) -> tuple[Any, int]:
    if text.startswith('"', start):
        return parse_value_at(text, start)
    match = re.compile(r"[^,{}\[\]]+").match(text, start)
    if not match:
        raise ValueError("a key without a value")
    try:
        return parse_strict(match[0]), match.end()
    except ValueError:
        return match[0].strip(), match.end()
