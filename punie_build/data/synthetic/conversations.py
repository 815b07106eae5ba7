"""Templates: training conversations written in Python, each checked where it is made.

    from punie_build.data.synthetic.conversations import conversation, read_file, write, write_file

    rows = [
        conversation(
            "Set debug to false in app.toml",
            read_file("app.toml", result="debug = true"),
            write_file("app.toml", "debug = false", result="ok"),
            "debug is false now.",
        )
    ]
    write(rows, "raw/mine.jsonl")

A row is a dict in OpenAI's form: messages, the tools that were offered, a category. Calls are structured (`tool_calls` and
`tool` messages), never markup inside text: the base's own chat template writes the markup, so training and serving agree.

    single         one call of any tool, its result, the answer
    steps          several calls for one question, one after another or at once
    decline        an answer without a call, though tools were offered
    conversation   any number of turns; the three above are made of it
    read_file ...  a call of each of the seven editor tools; `call` is one of any tool, `declare` the declaration of your own
    write          rows as JSONL, into a file or on standard output

What no base could learn from is a ValueError that says where, what, and what to do: arguments that do not fit their
declaration, results without calls, a conversation that does not end with the assistant.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, TypedDict, Unpack, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from punie_build.data.dialects import normalize
from punie_build.data.example import parse
from punie_build.data.synthetic.editor_tools import SYSTEM, TOOLS
from punie_build.errors import did_you_mean

Tool = dict[str, Any]  # {"type": "function", "function": {"name", "description", "parameters": a JSON Schema}}


class Call(Struct, frozen=True):
    """A call that fits the declaration of its `tool`, and what came back: None where the conversation ends with the call."""

    tool: Tool
    arguments: dict[str, Any]
    result: str | None = None

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])


Turn = str | Call | Sequence[Call]


class Options(TypedDict, total=False):
    """What every conversation takes besides its turns.

    `tools`: those that were offered, declarations or names of editor tools. Default: the seven editor tools, or, where other
    tools are called, those. `system`: the system prompt, None for none. `category`: default the tool called, `multi-tool`,
    or `words`.
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
    **options: Unpack[Options],
) -> dict[str, Any]:
    """One call, what came back, and the answer; without both, the conversation ends with the call."""
    return steps(question, call(tool, arguments, result), answer=answer, **options)


def steps(
    question: str, *calls: Call | Sequence[Call], answer: str | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Calls for one question, in order; a list or tuple of calls are made at once. Without `answer` the last have no result."""
    if not calls:
        raise ValueError(f"{_about(question)}: no calls - add some, or use decline")
    return conversation(question, *calls, *([] if answer is None else [answer]), **options)


def decline(question: str, answer: str, **options: Unpack[Options]) -> dict[str, Any]:
    """An answer in words: the question needs none of the tools, or does not say enough to call one."""
    return conversation(question, answer, **options)


def conversation(
    *turns: Turn,
    tools: Sequence[str | Tool] | None = None,
    system: str | None = SYSTEM,
    category: str | None = None,
) -> dict[str, Any]:
    """A conversation as one JSON-ready row: texts of user and assistant in turn, the user first, with calls between them.

    A list or tuple of calls are made at once. Calls get the ids call_1, call_2 ... Raises ValueError with every problem of
    the order, or with what could not be read back as it was meant.
    """
    where = _about(next((turn for turn in turns if isinstance(turn, str)), ""))
    made = [turn if isinstance(turn, str) else _at_once(turn) for turn in turns]
    if problems := list(_disorder(made)) or list(_markup(made, system)):
        raise ValueError("\n".join(f"{where}: {problem}" for problem in problems))
    calls = [each for turn in made if not isinstance(turn, str) for each in turn]
    offered = _offered(calls, tools, where)
    names = [each.name for each in calls]
    row = {
        "messages": ([{"role": "system", "content": system}] if system else []) + list(_messages(made)),
        **({"tools": offered} if offered else {}),
        "category": category or (names[0] if len(names) == 1 else "multi-tool" if names else "words"),
    }
    _read_back(row, where)
    return row


# --- calls


def call(tool: str | Tool, arguments: dict[str, Any] | None = None, result: Any = None) -> Call:
    """A call of an editor tool, by its name, or of any tool, by its declaration.

    `result`: what came back, text or anything JSON can say; None: the conversation ends with the call. Raises ValueError
    with every argument that does not fit the declaration.
    """
    declared = _declaration(tool)
    name = declared["function"]["name"]
    given = _plain(arguments or {}, f"{name}: arguments")
    if problems := list(_misfits(name, declared["function"].get("parameters") or {}, given)):
        raise ValueError("\n".join(problems))
    said = result if result is None or isinstance(result, str) else _json(_plain(result, f"{name}: result"))
    return Call(declared, given, said)


def read_file(path: str, line: int | None = None, limit: int | None = None, *, result: Any = None) -> Call:
    """Read a file, from a line on if need be; `result` is its text."""
    return call("read_file", _without_none(path=path, line=line, limit=limit), result)


def write_file(path: str, content: str, *, result: Any = None) -> Call:
    """Write a file anew, all of it."""
    return call("write_file", {"path": path, "content": content}, result)


def run_command(command: str, cwd: str | None = None, *, result: Any = None) -> Call:
    """Start a command; `result` is the id of its terminal."""
    return call("run_command", _without_none(command=command, cwd=cwd), result)


def get_terminal_output(terminal_id: str, *, result: Any = None) -> Call:
    """Look at what a terminal has printed so far."""
    return call("get_terminal_output", {"terminal_id": terminal_id}, result)


def release_terminal(terminal_id: str, *, result: Any = None) -> Call:
    """Close a terminal that is no longer needed."""
    return call("release_terminal", {"terminal_id": terminal_id}, result)


def wait_for_terminal_exit(terminal_id: str, *, result: Any = None) -> Call:
    """Wait for a command's end; `result` has its exit code."""
    return call("wait_for_terminal_exit", {"terminal_id": terminal_id}, result)


def kill_terminal(terminal_id: str, *, result: Any = None) -> Call:
    """Stop a command at once."""
    return call("kill_terminal", {"terminal_id": terminal_id}, result)


def declare(function: Callable[..., Any]) -> Tool:
    """The declaration of a Python function as a tool: its name, the first paragraph of its docstring, the types of its
    parameters. What has a default is optional; `Annotated[str, "..."]` describes a parameter.

    Raises ValueError where JSON Schema has no short word for a type.
    """
    hints = get_type_hints(function, include_extras=True)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{function.__name__}.{name}"
        if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{where}: no parameter with a type - annotate it, or write the declaration as a dict")
        properties[name] = _schema(hints[name], where)
        required += [name] if parameter.default is parameter.empty else []
    said = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    parameters = {"type": "object", "properties": properties, "required": required}
    described = {"description": said} if said else {}
    return {"type": "function", "function": {"name": function.__name__, **described, "parameters": parameters}}


# --- writing


def write(rows: Iterable[dict[str, Any]], file: str | Path | IO[Any] | None = None) -> int:
    """Write rows as chat JSONL, UTF-8, and return how many: to a path, into an open file, or on standard output.

    A path is there when all of its rows are; until then it holds what it held. Raises ValueError for what is no row.
    """
    if not isinstance(file, str | Path):
        text = sys.stdout if file is None else file
        text.flush()  # what a text file still holds comes before its bytes
        return _write(rows, getattr(text, "buffer", text))
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as out:
            count = _write(rows, out)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return count


def _write(rows: Iterable[dict[str, Any]], out: Any) -> int:
    count = 0
    for count, row in enumerate(rows, 1):
        line = _text(row, f"row {count}").encode()
        try:
            parse(line)
        except ValueError as error:
            raise ValueError(f"row {count}: {error}") from None
        out.write(line + b"\n")
    out.flush()
    return count


# --- the order of turns

_Made = str | tuple[Call, ...]
_MARKUP = re.compile(
    r"<\|[\w-]+\|>|</?tool_(?:call|response)>"
)  # chat templates' own: a model would take it for theirs


def _at_once(turn: Call | Sequence[Call]) -> tuple[Call, ...]:
    return tuple(turn) if isinstance(turn, Sequence) else (turn,)


def _about(question: str) -> str:
    words = " ".join(question.split())
    return f"conversation {words if len(words) < 40 else words[:37] + '...'!r}"


def _disorder(turns: Sequence[_Made]) -> Iterator[str]:
    """What is wrong with the order of the turns, each said once."""
    asks = True
    for number, turn in enumerate(turns, 1):
        last = number == len(turns)
        if isinstance(turn, str):
            if not turn.strip():
                yield f"turn {number}: no words - write some"
            if last and asks:
                yield f"turn {number}: the user has the last word - add the assistant's answer, or a call"
            asks = not asks
            continue
        if not turn or not all(isinstance(each, Call) for each in turn):
            yield f"turn {number}: no text and no calls - use read_file(...) and its like, or call(...)"
            continue
        unanswered = [each.name for each in turn if each.result is None]
        if asks:
            yield f"turn {number}: {turn[0].name} is called before the user speaks - put the user's words before it"
        elif unanswered and (not last or len(unanswered) < len(turn)):
            yield f"turn {number}: {unanswered[0]} has no result - give it result=..."
        elif last and not unanswered:
            yield f"turn {number}: a result has the last word - add the assistant's answer"
    if not turns:
        yield "nothing is said - begin with the user's words"


def _markup(turns: Sequence[_Made], system: str | None) -> Iterator[str]:
    for number, turn in enumerate([system or "", *turns]):
        texts = [turn] if isinstance(turn, str) else [_json(each.arguments) + (each.result or "") for each in turn]
        if found := next(filter(None, map(_MARKUP.search, texts)), None):
            yield f"{f'turn {number}' if number else 'system'}: {found[0]} is markup of chat templates - word it otherwise"


def _offered(calls: Sequence[Call], tools: Sequence[str | Tool] | None, where: str) -> list[Tool]:
    """The declarations of a row, in the order given or met."""
    called = {each.name: each.tool for each in calls}
    if tools is None:
        return list((TOOLS if all(TOOLS.get(name) == tool for name, tool in called.items()) else called).values())
    offered = [_declaration(tool) for tool in tools]
    if missing := [name for name, tool in called.items() if tool not in offered]:
        raise ValueError(f"{where}: {missing[0]} is called but not offered so - add its declaration to tools")
    return offered


def _messages(turns: Sequence[_Made]) -> Iterator[dict[str, Any]]:
    number, asks = 0, True
    for turn in turns:
        if isinstance(turn, str):
            yield {"role": "user" if asks else "assistant", "content": turn}
            asks = not asks
            continue
        ids = [f"call_{number + place}" for place in range(1, len(turn) + 1)]
        number += len(turn)
        functions = [{"name": each.name, "arguments": _json(each.arguments)} for each in turn]
        written = [
            {"id": name, "type": "function", "function": each} for name, each in zip(ids, functions, strict=True)
        ]
        yield {"role": "assistant", "content": "", "tool_calls": written}
        for name, each in zip(ids, turn, strict=True):
            if each.result is not None:
                yield {"role": "tool", "tool_call_id": name, "content": each.result}


def _read_back(row: dict[str, Any], where: str) -> None:
    """Raise ValueError if a dataset would read the row as another conversation: words that look like a call become one."""
    try:
        same = normalize.to_canonical(row) is row
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not same:
        raise ValueError(f"{where}: words would be read as a call or as tools - word them otherwise")


# --- declarations


def _declaration(tool: str | Tool) -> Tool:
    """A tool in OpenAI's form, from the name of an editor tool, a declaration, or its function alone."""
    if isinstance(tool, str):
        if tool not in TOOLS:
            raise ValueError(f"{tool}: no editor tool is called so{did_you_mean(tool, TOOLS)}")
        return TOOLS[tool]
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"{str(tool)[:40]}: a declaration without a name - use declare, or OpenAI's form")
    return tool if function is not tool else {"type": "function", "function": tool}


def _schema(hint: Any, where: str) -> dict[str, Any]:
    """The JSON Schema of a type, with the description that Annotated gives."""
    try:
        found = msgspec.json.schema(hint)
    except TypeError:
        found = {"$ref": ""}
    if "$ref" in json.dumps(found):
        raise ValueError(f"{where}: JSON has no word for {hint} - use plain types, or write the declaration as a dict")
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    said = next((note for note in notes if isinstance(note, str)), None)
    return found | ({"description": said} if said else {})


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _misfits(where: str, schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Where a value does not have its declared type, however deep. Schemas that say it in other words than `type`, `enum`,
    `items`, `properties` and `required` accept all."""
    said = schema.get("type") or []
    kinds = [said] if isinstance(said, str) else said
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where}: {_json(value)[:40]} is no {' or '.join(kinds)} - give one"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {_json(value)[:40]} is not allowed - give one of {_json(schema['enum'])[1:-1]}"
    elif isinstance(value, dict):
        yield from _misfit_keys(where, schema, value)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for place, item in enumerate(value):
            yield from _misfits(f"{where}[{place}]", schema["items"], item)


def _misfit_keys(where: str, schema: dict[str, Any], value: dict[str, Any]) -> Iterator[str]:
    known = schema.get("properties")
    for name in schema.get("required") or ():
        if name not in value:
            yield f"{where}.{name}: missing - the declaration requires it"
    for name, item in value.items():
        if known and name in known:
            yield from _misfits(f"{where}.{name}", known[name], item)
        elif known is not None and not schema.get("additionalProperties"):
            yield f"{where}.{name}: unknown{did_you_mean(name, known) or ' - the tool takes no arguments'}"


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES.get(kind, (object,))) and (kind == "boolean" or not isinstance(value, bool))


def _plain(value: Any, where: str) -> Any:
    """The value as JSON has it: tuples are lists, keys are texts."""
    return json.loads(_text(value, where))


def _text(value: Any, where: str) -> str:
    """JSON text. Raises ValueError for what JSON, or UTF-8, cannot say."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error} - use what JSON can say") from None
    return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _without_none(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
