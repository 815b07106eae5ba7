"""Builders of chat rows and of calls in each markup, for tests of dialects."""

from __future__ import annotations

import json
from typing import Any

Record = dict[str, Any]


def tool(name: str, **types: str) -> Record:
    """Return the declaration of a tool, with the JSON types of its parameters."""
    properties = {key: {"type": kind, "description": f"The {key}."} for key, kind in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(types)}
    return {"type": "function", "function": {"name": name, "description": f"{name} it.", "parameters": parameters}}


def user(text: str) -> Record:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str, *calls: tuple[str, dict[str, Any]], first: int = 1) -> Record:
    """Return a message of the assistant with calls, whose ids are numbered from `first`."""
    tool_calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, (name, arguments) in enumerate(calls, first)
    ]
    return {"role": "assistant", "content": text} | ({"tool_calls": tool_calls} if calls else {})


def result(text: str, number: int = 1) -> Record:
    """Return the result of the call with this number."""
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": text}


def system(text: str) -> Record:
    """Return a system prompt."""
    return {"role": "system", "content": text}


def turns(*texts: str) -> list[Record]:
    """Return messages of user and assistant in turn."""
    return [user(text) if index % 2 == 0 else assistant(text) for index, text in enumerate(texts)]


READ, GREP = tool("read", path="string"), tool("grep", pattern="string", limit="integer")
FUNCTION = json.dumps(READ["function"], indent=4)
HI = turns("Hi", "Hello.")
LOOK = [user("Look"), assistant("", ("read", {"path": "a"})), result("x = 1"), assistant("It is 1.")]


def answered(text: str, *after: Record) -> Record:
    """Return a record whose assistant answers with this text."""
    return {"messages": [user("Look"), {"role": "assistant", "content": text}, *after]}


def with_calls(text: str, *calls: tuple[str, dict[str, Any]]) -> Record:
    """Return a record whose assistant answers with this text and these calls."""
    return {"messages": [user("Look"), assistant(text, *calls)]}


HERMES = '<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call>'
XML = "<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>"
FENCE = '```json\n{"name": "read", "arguments": {"path": "a"}}\n```'
ONE = ("read", {"path": "a"})
CODE = 'r = grep("</parameter>")\nprint(f"{r}</function>")  # <tool_call>'
