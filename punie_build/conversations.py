"""Build training conversations in Python. Each conversation is validated where it is written.

    from punie_build.conversations import conversation, read_file, write, write_file

    rows = [
        conversation(
            "Set debug to false in app.toml",
            read_file("app.toml", result="debug = true"),
            write_file("app.toml", "debug = false", result="ok"),
            "debug is false now.",
        )
    ]
    write(rows, "raw/mine.jsonl")

A row is a dict in OpenAI's form: messages, the declarations of tools, a category.

    single         one call of any tool, its result, the answer
    steps          several calls for one question, in sequence or in parallel
    decline        an answer without a call, although tools are declared
    conversation   any number of turns; the three functions above use it
    read_file ...  a call of each of the seven editor tools; `call` is a call of any tool, `declare` declares a tool
    write          rows as JSONL, to a file or standard output

ValueError names the place, the problem and the fix: arguments that do not match their declaration, results without
calls, a conversation that does not end with the assistant.
"""

from __future__ import annotations

from punie_build.data.synthetic.conversations import (
    CallWithResult,
    ConversationOptions,
    TurnLike,
    call,
    conversation,
    decline,
    get_terminal_output,
    kill_terminal,
    read_file,
    release_terminal,
    run_command,
    single,
    steps,
    wait_for_terminal_exit,
    write,
    write_file,
)
from punie_build.data.synthetic.declarations import Tool, declare

__all__ = [
    "CallWithResult",
    "ConversationOptions",
    "Tool",
    "TurnLike",
    "call",
    "conversation",
    "declare",
    "decline",
    "get_terminal_output",
    "kill_terminal",
    "read_file",
    "release_terminal",
    "run_command",
    "single",
    "steps",
    "wait_for_terminal_exit",
    "write",
    "write_file",
]
