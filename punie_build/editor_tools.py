"""The seven tools of a coding editor's agent, and how to write conversations that use them.

    talk("What is in app.py?", (read_file("app.py"), "print(1)"), "It prints 1.")

is a user turn, a call with what came back, and the assistant's answer. Calls are structured (`tool_calls` and `tool`
messages, OpenAI), never markup inside text: the base's own chat template writes the markup, so training and serving agree.
"""

from __future__ import annotations

import json
from typing import Any

SYSTEM = "You are a coding agent in an editor. Use the tools for files and terminals. Answer in words when no tool is needed."


def _declare(
    name: str, description: str, required: dict[str, str], optional: dict[str, str] | None = None
) -> dict[str, Any]:
    kinds = {"line": "integer", "limit": "integer"}
    properties = {
        key: {"type": kinds.get(key, "string"), "description": text}
        for key, text in (required | (optional or {})).items()
    }
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": list(required)},
        },
    }


_TERMINAL = {"terminal_id": "The id that run_command returned."}
TOOLS: dict[str, dict[str, Any]] = {
    tool["function"]["name"]: tool
    for tool in (
        _declare(
            "read_file",
            "Read a text file of the project.",
            {"path": "Path of the file."},
            {"line": "First line, from 1.", "limit": "How many lines."},
        ),
        _declare(
            "write_file",
            "Write text to a file, replacing what it held.",
            {"path": "Path of the file.", "content": "The whole new text."},
        ),
        _declare(
            "run_command",
            "Start a shell command in a terminal and return the terminal's id.",
            {"command": "The command line."},
            {"cwd": "Folder to run in."},
        ),
        _declare("get_terminal_output", "Return what a terminal has printed so far.", _TERMINAL),
        _declare("release_terminal", "Close a terminal that is no longer needed.", _TERMINAL),
        _declare(
            "wait_for_terminal_exit",
            "Wait until the command in a terminal has finished and return its exit code.",
            _TERMINAL,
        ),
        _declare("kill_terminal", "Stop the running command in a terminal at once.", _TERMINAL),
    )
}

Call = tuple[str, dict[str, Any]]


def read_file(path: str, line: int | None = None, limit: int | None = None) -> Call:
    return "read_file", {"path": path} | {
        key: value for key, value in (("line", line), ("limit", limit)) if value is not None
    }


def write_file(path: str, content: str) -> Call:
    return "write_file", {"path": path, "content": content}


def run_command(command: str, cwd: str | None = None) -> Call:
    return "run_command", {"command": command} | ({"cwd": cwd} if cwd else {})


def get_terminal_output(terminal_id: str) -> Call:
    return "get_terminal_output", {"terminal_id": terminal_id}


def release_terminal(terminal_id: str) -> Call:
    return "release_terminal", {"terminal_id": terminal_id}


def wait_for_terminal_exit(terminal_id: str) -> Call:
    return "wait_for_terminal_exit", {"terminal_id": terminal_id}


def kill_terminal(terminal_id: str) -> Call:
    return "kill_terminal", {"terminal_id": terminal_id}


Step = tuple[Call, str] | tuple[tuple[Call, ...], tuple[str, ...]] | Call | str


def talk(
    *steps: Any, tools: tuple[str, ...] = tuple(TOOLS), category: str | None = None, system: str | None = SYSTEM
) -> dict[str, Any]:
    """A conversation as one JSON-ready example.

    Texts alternate between user and assistant, the user first. A pair (call, result) is a call and what came back; (calls,
    results) are several at once; a lone call ends the conversation. `category` defaults to the tools used, or `words`.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    used: list[str] = []
    number = 0
    user_speaks = True
    for step in steps:
        if isinstance(step, str):
            messages.append({"role": "user" if user_speaks else "assistant", "content": step})
            user_speaks = not user_speaks
            continue
        calls, results = _calls_and_results(step)
        tool_calls = []
        for name, arguments in calls:
            number += 1
            used.append(name)
            tool_calls.append(
                {
                    "id": f"call_{number}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
                }
            )
        messages.append({"role": "assistant", "content": "", "tool_calls": tool_calls})
        messages.extend(
            {"role": "tool", "tool_call_id": call["id"], "content": text}
            for call, text in zip(tool_calls, results, strict=False)
        )
    if category is None:
        category = used[0] if len(used) == 1 else "multi-tool" if used else "words"
    return {"messages": messages, "tools": [TOOLS[name] for name in tools], "category": category}


def _calls_and_results(step: Any) -> tuple[tuple[Call, ...], tuple[str, ...]]:
    head, tail = step
    if isinstance(head, str):  # a lone call: (name, arguments)
        return ((head, tail),), ()
    if isinstance(head[0], str):  # one call and its result
        return (head,), (tail,)
    return head, tail
