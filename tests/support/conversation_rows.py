"""Rows of conversations with tool calls, made up so that no two are similar."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SYSTEM = "You are a coding agent."
PATH = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"type": "function", "function": {"name": "read_file", "parameters": PATH}}
WAIT = {"type": "function", "function": {"name": "wait", "parameters": {"type": "object", "properties": {}}}}


def message(role: str, content: str | None = "", *calls: tuple[str, dict]) -> dict:
    """Return a message with calls of (name, arguments)."""
    result: dict[str, Any] = {"role": role, "content": content}
    if calls:
        functions = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in calls]
        result["tool_calls"] = [
            {"id": f"c{number}", "type": "function", "function": function} for number, function in enumerate(functions)
        ]
    return result


def word(number: int, field: str) -> str:
    """Return letters that no other row has in this field: rows that differ only in numbers would be duplicates."""
    digits = hashlib.md5(f"{number}{field}".encode()).hexdigest()[:8]
    return "".join(chr(97 + int(digit, 16)) for digit in digits)


def row(number: int, **changed: object) -> dict[str, Any]:
    """Return a conversation with a correct call. `words`: text before the call; `answer`: the last message."""
    fields: dict[str, Any] = {
        "system": SYSTEM,
        "ask": f"{word(number, 'ask')} {word(number, 'about')} {word(number, 'why')}?",
        "words": "",
        "result": word(number, "result"),
        "answer": f"{word(number, 'answer')} {word(number, 'as')} {word(number, 'said')}.",
        "call": ("read_file", {"path": word(number, "path")}),
        **changed,
    }
    messages = [message("system", fields["system"]), message("user", fields["ask"])]
    if fields["call"]:
        result = {"role": "tool", "tool_call_id": "c0", "content": fields["result"]}
        messages += [message("assistant", fields["words"], fields["call"]), result]
    messages += [message("assistant", fields["answer"])] if fields["answer"] is not None else []
    return {"messages": messages, "tools": fields.get("tools", [READ, WAIT])}


def correct_rows(count: int, start: int = 0, **changed: object) -> list[dict[str, Any]]:
    """Return rows that no check of the preflight reports, apart from the changed fields."""
    return [row(start + number, **changed) for number in range(count)]


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
