"""Declarations of the seven tools of a coding agent in an editor, and its system prompt."""

from __future__ import annotations

from typing import Any

SYSTEM = (
    "You are a coding agent in an editor. Use the tools for files and terminals. "
    "Answer in words when no tool is needed."
)


def _declare(
    name: str, description: str, required: dict[str, str], optional: dict[str, str] | None = None
) -> dict[str, Any]:
    types = {"line": "integer", "limit": "integer"}
    properties = {
        key: {"type": types.get(key, "string"), "description": text}
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
