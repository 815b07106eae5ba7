"""Questions of BFCL with the right calls under `ground_truth`, as conversations of one or several rounds."""

from __future__ import annotations

import ast
from typing import Any

from punie_build.data.dialects.tool_declarations import with_type_names
from punie_build.data.tool_call_markup.json_values import preview

Record = dict[str, Any]
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string", "String": "string"}


def bfcl(record: Record) -> Record | None:
    """Return the conversation of a record of BFCL, or None for another record.

    Each round is a list of messages and the calls that answer them, which are objects with the allowed values of each
    argument, or Python calls. Results of calls are not in the data.
    """
    rounds = record.get("question")
    if not isinstance(rounds, list) or not rounds or not all(isinstance(messages, list) for messages in rounds):
        return None
    if (truth := record.get("ground_truth")) is None:
        raise ValueError(
            "a question of BFCL without one answer: its answers are in another file - join them as ground_truth"
        )
    truths = truth if len(rounds) > 1 or (truth and isinstance(truth[0], list)) else [truth]
    if len(truths) != len(rounds):
        raise ValueError(f"{len(rounds)} rounds, but calls for {len(truths)} - remove the row")
    tools = [bfcl_tool(tool) for tool in record.get("function") or ()]
    messages: list[Record] = []
    for number, (question, answer) in enumerate(zip(rounds, truths, strict=True), 1):
        if not answer or not question:
            part = "question" if answer else "call"
            raise ValueError(f"round {number} has no {part}: the words for it are not in the data - remove the row")
        calls = [_call(item, tools) for item in answer]
        messages += [*question, {"role": "assistant", "content": "", "tool_calls": calls}]
    own_keys = ("question", "function", "ground_truth")
    declared = {"tools": tools} if tools else {}
    return {"messages": messages, **declared, **{k: v for k, v in record.items() if k not in own_keys}}


def _call(item: Any, tools: list[Any]) -> Record:
    if isinstance(item, str):
        return _python_call(item, tools)
    if not isinstance(item, dict) or len(item) != 1:
        raise ValueError(f"ground_truth is no list of calls: {preview(item)} - remove the row")
    [(name, allowed)] = item.items()
    return {"name": name, "arguments": _first_values(allowed)}


def _first_values(allowed: Record) -> Record:
    """Return the first allowed value of each argument; an empty text marks an argument that may be absent."""
    return {key: _first(options[0]) for key, options in allowed.items() if options and options[0] != ""}


def _first(value: Any) -> Any:
    """Return an allowed value; the values within an object are allowed values again."""
    if isinstance(value, dict):
        nested = all(isinstance(options, list) and options for options in value.values())
        return _first_values(value) if nested else value
    return [_first(item) for item in value] if isinstance(value, list) else value


def _python_call(text: str, tools: list[Any]) -> Record:
    """Return a call that is written in Python. Arguments without a name get those of the declaration, in order."""
    try:
        [statement] = ast.parse(text).body
        node = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(node, ast.Call):
            raise ValueError("not a call")
        arguments = {str(item.arg): ast.literal_eval(item.value) for item in node.keywords}
        unnamed = [ast.literal_eval(item) for item in node.args]
        name = ast.unparse(node.func)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"ground_truth is no list of calls: {preview(text)} - remove the row") from None
    if unnamed:
        names = [key for key in _parameters(name, tools) if key not in arguments]
        if len(names) < len(unnamed):
            raise ValueError(f"arguments without a name in {preview(text)} - add the declarations under function")
        arguments = dict(zip(names, unnamed, strict=False)) | arguments
    return {"name": name, "arguments": arguments}


def _parameters(name: str, tools: list[Any]) -> list[str]:
    """Return the names of a tool's parameters, in the order of its declaration."""
    tool: Any = next((tool for tool in tools if isinstance(tool, dict) and tool.get("name") == name), None)
    return list(tool["parameters"]["properties"]) if tool else []


def bfcl_tool(tool: Any) -> Any:
    """Return a declaration of BFCL with the type names of JSON Schema."""
    return with_type_names(tool, lambda name: _TYPES.get(name, name))
