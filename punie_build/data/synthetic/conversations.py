"""Build training conversations in Python and validates each one. `punie_build.conversations` is the public name.

Calls are structured (`tool_calls` and `tool` messages), never markup in text: the base's own chat template writes the
markup, so training and serving agree.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

from msgspec import Struct

from punie_build.data.dialects import normalize
from punie_build.data.example import parse
from punie_build.data.synthetic.declarations import Tool, checked_json, declaration, mismatches, plain_json, to_json
from punie_build.data.synthetic.editor_tools import SYSTEM, TOOLS


class CallWithResult(Struct, frozen=True):
    """A call that matches the declaration of its `tool`, and its result: None if it ends the conversation."""

    tool: Tool
    arguments: dict[str, Any]
    result: str | None = None

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])


TurnLike = str | CallWithResult | Sequence[CallWithResult]


class ConversationOptions(TypedDict, total=False):
    """The keyword arguments of every function that builds a conversation.

    `tools` are the tools that the model could call: declarations or names of editor tools. The default is the seven
    editor tools, or the tools that are called if there are others. `system` is the system prompt, None for none.
    `category` is by default the name of the tool that is called, `multi-tool`, or `words`.
    """

    tools: Sequence[str | Tool] | None
    system: str | None
    category: str | None


# --- conversations


def single(
    question: str,
    tool: str | Tool,
    arguments: dict[str, Any] | None = None,
    result: Any = None,
    answer: str | None = None,
    **options: Unpack[ConversationOptions],
) -> dict[str, Any]:
    """Return a conversation with one call, its result and the answer; without both, it ends with the call."""
    return steps(question, call(tool, arguments, result), answer=answer, **options)


def steps(
    question: str,
    *calls: CallWithResult | Sequence[CallWithResult],
    answer: str | None = None,
    **options: Unpack[ConversationOptions],
) -> dict[str, Any]:
    """Return a conversation with several calls in order; a list or tuple of calls is parallel.

    Without `answer` the conversation ends with the last calls, which have no result.
    """
    if not calls:
        raise ValueError(f"{_label(question)}: no calls - add some, or use decline")
    return conversation(question, *calls, *([] if answer is None else [answer]), **options)


def decline(question: str, answer: str, **options: Unpack[ConversationOptions]) -> dict[str, Any]:
    """Return a conversation without a call: the question needs no tool, or lacks the information for a call."""
    return conversation(question, answer, **options)


def conversation(
    *turns: TurnLike,
    tools: Sequence[str | Tool] | None = None,
    system: str | None = SYSTEM,
    category: str | None = None,
) -> dict[str, Any]:
    """Return a conversation as one JSON-ready row.

    Texts are those of user and assistant in turn, the user first, with calls between them. A list or tuple of calls
    is parallel. Calls get the ids call_1, call_2 ... Raises ValueError with every problem in the order of turns, or
    with the text that a dataset would read differently.
    """
    where = _label(next((turn for turn in turns if isinstance(turn, str)), ""))
    normalized = [turn if isinstance(turn, str) else _as_tuple(turn) for turn in turns]
    if problems := list(_order_problems(normalized)) or list(_markup_problems(normalized, system)):
        raise ValueError("\n".join(f"{where}: {problem}" for problem in problems))
    calls = [call for turn in normalized if not isinstance(turn, str) for call in turn]
    declarations = _declarations(calls, tools, where)
    names = [call.name for call in calls]
    row = {
        "messages": ([{"role": "system", "content": system}] if system else []) + list(_messages(normalized)),
        **({"tools": declarations} if declarations else {}),
        "category": category or (names[0] if len(names) == 1 else "multi-tool" if names else "words"),
    }
    _require_canonical(row, where)
    return row


# --- calls


def call(tool: str | Tool, arguments: dict[str, Any] | None = None, result: Any = None) -> CallWithResult:
    """Return a call of an editor tool, by its name, or of any tool, by its declaration.

    `result` is text or any JSON value; with None the conversation ends with the call. Raises ValueError that lists the
    arguments that do not match the declaration.
    """
    declared = declaration(tool)
    name = declared["function"]["name"]
    values = plain_json(arguments or {}, f"{name}: arguments")
    if problems := list(mismatches(name, declared["function"].get("parameters") or {}, values)):
        raise ValueError("\n".join(problems))
    if result is not None and not isinstance(result, str):
        result = to_json(plain_json(result, f"{name}: result"))
    return CallWithResult(declared, values, result)


def read_file(path: str, line: int | None = None, limit: int | None = None, *, result: Any = None) -> CallWithResult:
    """Return a call that reads a file, all of it or `limit` lines from `line` on; `result` is its text."""
    return call("read_file", _without_none(path=path, line=line, limit=limit), result)


def write_file(path: str, content: str, *, result: Any = None) -> CallWithResult:
    """Return a call that writes a file, replacing its content."""
    return call("write_file", {"path": path, "content": content}, result)


def run_command(command: str, cwd: str | None = None, *, result: Any = None) -> CallWithResult:
    """Return a call that starts a command; `result` is the id of its terminal."""
    return call("run_command", _without_none(command=command, cwd=cwd), result)


def get_terminal_output(terminal_id: str, *, result: Any = None) -> CallWithResult:
    """Return a call that reads the output of a terminal."""
    return call("get_terminal_output", {"terminal_id": terminal_id}, result)


def release_terminal(terminal_id: str, *, result: Any = None) -> CallWithResult:
    """Return a call that closes a terminal."""
    return call("release_terminal", {"terminal_id": terminal_id}, result)


def wait_for_terminal_exit(terminal_id: str, *, result: Any = None) -> CallWithResult:
    """Return a call that waits for a command to exit; `result` has its exit code."""
    return call("wait_for_terminal_exit", {"terminal_id": terminal_id}, result)


def kill_terminal(terminal_id: str, *, result: Any = None) -> CallWithResult:
    """Return a call that stops a command immediately."""
    return call("kill_terminal", {"terminal_id": terminal_id}, result)


# --- writing


def write(rows: Iterable[dict[str, Any]], file: str | Path | IO[Any] | None = None) -> int:
    """Write rows as chat JSONL in UTF-8 to a path, an open file, or standard output. Return their number.

    A path is replaced when all rows are written; after an error it keeps its content. Raises ValueError for an
    invalid row.
    """
    if not isinstance(file, str | Path):
        stream = sys.stdout if file is None else file
        stream.flush()  # buffered text comes before the bytes written here
        return _write(rows, getattr(stream, "buffer", stream))
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as out:
            count = _write(rows, out)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write(rows: Iterable[dict[str, Any]], out: Any) -> int:
    count = 0
    for count, row in enumerate(rows, 1):
        line = checked_json(row, f"row {count}").encode()
        try:
            parse(line)
        except ValueError as error:
            raise ValueError(f"row {count}: {error}") from None
        out.write(line + b"\n")
    out.flush()
    return count


# --- the order of turns

_Turn = str | tuple[CallWithResult, ...]
_MARKUP = re.compile(r"<\|[\w-]+\|>|</?tool_(?:call|response)>")  # a model would read it as its chat template's own


def _as_tuple(turn: CallWithResult | Sequence[CallWithResult]) -> tuple[CallWithResult, ...]:
    return tuple(turn) if isinstance(turn, Sequence) else (turn,)


def _label(question: str) -> str:
    words = " ".join(question.split())
    return f"conversation {words if len(words) < 40 else words[:37] + '...'!r}"


def _order_problems(turns: Sequence[_Turn]) -> Iterator[str]:
    """Yield a message for each turn that is empty or out of order."""
    user_next = True
    for number, turn in enumerate(turns, 1):
        last = number == len(turns)
        if isinstance(turn, str):
            if not turn.strip():
                yield f"turn {number}: empty text - write some"
            if last and user_next:
                yield f"turn {number}: the conversation ends with the user - add the assistant's answer, or a call"
            user_next = not user_next
            continue
        if not turn or not all(isinstance(item, CallWithResult) for item in turn):
            yield f"turn {number}: neither text nor calls - use read_file(...) and the like, or call(...)"
            continue
        pending = [item.name for item in turn if item.result is None]
        if user_next:
            yield f"turn {number}: {turn[0].name} is called before a user message - put the user's text before it"
        elif pending and (not last or len(pending) < len(turn)):
            yield f"turn {number}: {pending[0]} has no result - add result=..."
        elif last and not pending:
            yield f"turn {number}: the conversation ends with a result - add the assistant's answer"
    if not turns:
        yield "no turns - begin with the user's text"


def _markup_problems(turns: Sequence[_Turn], system: str | None) -> Iterator[str]:
    for number, turn in enumerate([system or "", *turns]):
        texts = [turn] if isinstance(turn, str) else [to_json(item.arguments) + (item.result or "") for item in turn]
        if match := next(filter(None, map(_MARKUP.search, texts)), None):
            where = f"turn {number}" if number else "system"
            yield f"{where}: {match[0]} is markup of chat templates - use other words"


def _declarations(calls: Sequence[CallWithResult], tools: Sequence[str | Tool] | None, where: str) -> list[Tool]:
    """Return the declarations of a row, in the order of `tools` or of the calls."""
    called = {item.name: item.tool for item in calls}
    if tools is None:
        return list((TOOLS if all(TOOLS.get(name) == tool for name, tool in called.items()) else called).values())
    declarations = [declaration(tool) for tool in tools]
    if missing := [name for name, tool in called.items() if tool not in declarations]:
        raise ValueError(f"{where}: {missing[0]} is called, but not in tools with this declaration - add it to tools")
    return declarations


def _messages(turns: Sequence[_Turn]) -> Iterator[dict[str, Any]]:
    """Yield the messages of the turns in OpenAI's form."""
    calls, user_next = 0, True
    for turn in turns:
        if isinstance(turn, str):
            yield {"role": "user" if user_next else "assistant", "content": turn}
            user_next = not user_next
            continue
        ids = [f"call_{calls + index}" for index in range(1, len(turn) + 1)]
        calls += len(turn)
        functions = [{"name": item.name, "arguments": to_json(item.arguments)} for item in turn]
        entries = [
            {"id": id_, "type": "function", "function": function} for id_, function in zip(ids, functions, strict=True)
        ]
        yield {"role": "assistant", "content": "", "tool_calls": entries}
        for id_, item in zip(ids, turn, strict=True):
            if item.result is not None:
                yield {"role": "tool", "tool_call_id": id_, "content": item.result}


def _require_canonical(row: dict[str, Any], where: str) -> None:
    """Raise ValueError if a dataset would read the row differently, because a text looks like a call."""
    try:
        unchanged = normalize.to_canonical(row) is row
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not unchanged:
        raise ValueError(f"{where}: a text would be read as a call or as tools - use other words")


def _without_none(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
